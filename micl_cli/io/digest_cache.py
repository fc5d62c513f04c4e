"""Digests of files, kept in the home folder so that a large file is read once."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from micl_cli.errors import CheckpointError
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import read_document, write_document

SMALL = 1 << 20
"""Files up to this size, in bytes, are always read: that is as fast as looking up a kept digest."""
_SETTLED_NS = 100_000_000
"""A file changed less than this long ago may change again without another time stamp: its digest is not kept."""

Stamp = list[int]
"""Size, times of modification and of change in ns, and inode: they differ after any change of a file."""


class FileDigests:
    """The sha256 of files. Those of large files are kept in ``folder``, one entry per file.

    Without write access nothing is kept, and a damaged entry is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Stamp, str]] = {}

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file. Raises OSError."""
        name, now = str(path.absolute()), time.time_ns()
        stamp = _stamp(path)
        if stamp[0] <= SMALL:
            return file_sha256(path)
        known = self._known.get(name) or self._kept(name)
        if known and known[0] == stamp:
            return known[1]
        digest = file_sha256(path)
        if now - max(stamp[1:3]) > _SETTLED_NS and _stamp(path) == stamp:
            self._known[name] = stamp, digest
            self._keep(name, stamp, digest)
        return digest

    def _entry(self, name: str) -> Path:
        return self.folder / f"{sha256(os.fsencode(name)).hexdigest()[:32]}.json"

    def _kept(self, name: str) -> tuple[Stamp, str] | None:
        try:
            entry = read_document(self._entry(name))
            return (entry["stamp"], entry["digest"]) if entry["path"] == name else None
        except (CheckpointError, KeyError):
            return None

    def _keep(self, name: str, stamp: Stamp, digest: str) -> None:
        if not self.folder.parent.is_dir():
            return  # a home folder is not created only for this
        with suppress(CheckpointError, ValueError):  # a name may be no text
            write_document(self._entry(name), {"path": name, "stamp": stamp, "digest": digest})


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
