"""Digests of files."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from micl_cli.io.text import open_regular

_CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the sha256 of a regular file's bytes, read in chunks. Raises OSError, also for a pipe or device."""
    digest = sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
