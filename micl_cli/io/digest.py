"""Digests of files."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

_CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, read in chunks. Raises OSError."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
