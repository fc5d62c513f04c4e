"""Extraction of selected regular files from Debian packages: ``ar`` archives with a compressed ``data.tar``."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from micl_cli.api import PlanError

_MAGIC = b"!<arch>\n"
_HEADER = 60
_AGAIN = "Delete the file and fetch it again."
MAX_BYTES = 1 << 30
"""The maximum size of a file in a package."""


def unpack(package: Path, take: Sequence[str], target: Path) -> None:
    """Write the files of ``package`` whose path begins with one of ``take`` below ``target``.

    Links and special files are left out. Raises PlanError if the package is damaged or lacks a path of ``take``,
    and OSError if the files cannot be written.
    """
    missing = set(take)
    try:
        with package.open("rb") as file, _data(file, package) as members:
            for member in members:
                path = member.name.removeprefix("./")
                if prefix := next((prefix for prefix in take if path.startswith(prefix)), None):
                    missing.discard(prefix)
                    _write(members, member, target / _inside(path, package))
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise PlanError(f"{package} is damaged: {error}", _AGAIN) from error
    if missing:
        raise PlanError(f"{package} does not contain {', '.join(sorted(missing))}", _AGAIN)


def _inside(path: str, package: Path) -> PurePosixPath:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise PlanError(f"{package} contains the path {path}, which leads out of its folder", _AGAIN)
    return relative


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if not member.isreg() or member.size > MAX_BYTES:
        return
    source = members.extractfile(member)
    assert source is not None  # regular files have content
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file)


@contextmanager
def _data(file: BinaryIO, package: Path) -> Iterator[tarfile.TarFile]:
    """Open the member ``data.tar`` of an ``ar`` archive as a stream. Raises PlanError."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise PlanError(f"{package} is not a Debian package", _AGAIN)
    while len(header := file.read(_HEADER)) == _HEADER:
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), _size(header, package)
        if name.startswith("data.tar"):
            compression = name.removeprefix("data.tar").lstrip(".")
            if compression not in ("xz", "gz", "bz2"):
                raise PlanError(f"{package} is compressed by {compression}, which cannot be read", _AGAIN)
            part: BinaryIO = io.BufferedReader(_Part(file, size))
            with _decompressed(compression, part) as data, tarfile.open(fileobj=data, mode="r|") as members:
                yield members
            return
        file.seek(size + size % 2, io.SEEK_CUR)
    raise PlanError(f"{package} is not a Debian package: it has no data.tar", _AGAIN)


def _decompressed(compression: str, part: BinaryIO) -> lzma.LZMAFile | gzip.GzipFile | bz2.BZ2File:
    """Return the content of a compressed part. Unlike in tarfile's own modes, truncation is an error."""
    if compression == "xz":
        return lzma.LZMAFile(part)
    return gzip.GzipFile(fileobj=part) if compression == "gz" else bz2.BZ2File(part)


def _size(header: bytes, package: Path) -> int:
    digits = header[48:58].strip()
    if not digits.isdigit() or header[58:60] != b"`\n":
        raise PlanError(f"{package} is damaged: its directory cannot be read", _AGAIN)
    return int(digits)


class _Part(io.RawIOBase):
    """The next ``size`` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with the remaining bytes, and return their number."""
        chunk = self._file.read(min(len(buffer), self._left))
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)
