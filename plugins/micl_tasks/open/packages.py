"""Pinned Debian packages: downloaded from apt's sources or taken from a folder, verified, unpacked, not installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock

from micl_cli.api import FetchProgress, PlanError, download, file_sha256, read_toml
from micl_tasks.open.archive import unpack

FOLDER_VARIABLE = "MICL_OPEN_PACKAGES"
"""The environment variable that names a folder with the packages, for systems without apt."""
_LINE = re.compile(r"'(?P<url>[^']+)' \S+ (?P<bytes>\d+)(?: \S+)?")


@dataclass(frozen=True)
class Package:
    """A Debian package at one version, with the sha256 of its file and the paths to extract."""

    package: str
    version: str
    sha256: str
    bytes: int
    licence: str
    take: tuple[str, ...]

    @property
    def folder_name(self) -> str:
        """The name of the folder that it is unpacked to."""
        return f"{self.package}-{self.version.rpartition(':')[2]}"


@cache
def packages() -> dict[str, Package]:
    """Return the packages of the benchmark by their role."""
    table = read_toml(Path(__file__).with_name("packages.toml"))
    return {role: Package(**{**entry, "take": tuple(entry["take"])}) for role, entry in table.items()}


def fetch_package(package: Package, folder: Path, tell: FetchProgress) -> Path:
    """Return the folder of the unpacked package below ``folder``; the package is fetched if it is missing.

    Raises PlanError if the package can neither be downloaded nor found in the folder of ``MICL_OPEN_PACKAGES``.
    """
    unpacked = folder / package.folder_name
    if unpacked.is_dir():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # a second process uses the package of the first
        if not unpacked.is_dir():
            _fetch(package, unpacked, tell)
    return unpacked


def _fetch(package: Package, unpacked: Path, tell: FetchProgress) -> None:
    given = os.environ.get(FOLDER_VARIABLE)
    archive = _given(package, Path(given).expanduser()) if given else _downloaded(package, unpacked, tell)
    fresh = unpacked.with_name(f"{unpacked.name}.{os.getpid()}.new")
    try:
        unpack(archive, package.take, fresh)
        fresh.replace(unpacked)
    except OSError as error:
        hint = "Free disk space or make the folder writable, or choose another with --home or MICL_HOME."
        raise PlanError(f"{package.package} cannot be unpacked to {fresh}: {error.strerror or error}", hint) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if not given:
        archive.unlink()


# A folder of the user


def _given(package: Package, folder: Path) -> Path:
    """Return the package's file in the user's folder, found by its sha256. Raises PlanError."""
    if not folder.is_dir():
        raise PlanError(f"{FOLDER_VARIABLE} names {folder}, which is not a folder", _hint(package))
    same_size = [path for path in sorted(folder.glob("*.deb")) if path.stat().st_size == package.bytes]
    if match := next((path for path in same_size if file_sha256(path) == package.sha256), None):
        return match
    named = sorted(path.name for path in folder.glob(f"{package.package}_*.deb"))
    other = f"; {', '.join(named)} has another sha256" if named else ""
    raise PlanError(f"{folder} has no {package.package} {package.version}{other}", _hint(package))


# apt


def _downloaded(package: Package, unpacked: Path, tell: FetchProgress) -> Path:
    """Download the package's file from the user's apt sources, and return its path. Raises PlanError."""
    archive = unpacked.with_name(f"{unpacked.name}.deb")
    if not archive.exists():
        url = _url(package)
        download(url, archive, package.sha256, package.bytes, lambda done, total: tell(package.package, done, total))
    return archive


def _url(package: Package) -> str:
    """Return the URL from which apt, with the user's configuration, would download the package."""
    wanted = f"{package.package}={package.version}"
    try:
        done = _apt(["--print-uris", "download", wanted])
    except OSError as error:
        raise PlanError(
            "apt-get is not installed: the media of the benchmark come from Debian packages", _hint(package)
        ) from error
    match = next((match for line in done.stdout.splitlines() if (match := _LINE.fullmatch(line.strip()))), None)
    if done.returncode or match is None:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1].removeprefix("E: ")
        raise PlanError(f"apt cannot find the package {wanted}: {reason}", _hint(package))
    if match["url"].partition(":")[0] not in ("http", "https", "file"):
        raise PlanError(f"apt would read {wanted} by the method {match['url'].partition(':')[0]}", _hint(package))
    return match["url"]


def _apt(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}  # messages in English, whatever the user's language
    return subprocess.run(["apt-get", *words], capture_output=True, text=True, check=False, env=environment)


def _hint(package: Package) -> str:
    return (
        f"This needs apt with the package list of Debian 12, renewed by `apt-get update`; or {FOLDER_VARIABLE}=DIR, "
        f"a folder with the file of {package.package} {package.version} (sha256 {package.sha256})."
    )
