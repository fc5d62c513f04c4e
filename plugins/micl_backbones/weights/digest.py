"""Digests of weights, computed without reading all of a large file."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

WHOLE, PIECES, PIECE = 1 << 20, 256, 1 << 12
"""The size in bytes up to which a whole file is read; the number and size of the pieces read of a larger one."""


def file_digest(path: Path) -> str:
    """Return a digest of a file: of a large one, of its size and of pieces spread over it.

    Training changes nearly every weight, so pieces suffice; reading everything takes as long as loading the model.
    """
    size = path.stat().st_size
    found = sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE:
            found.update(file.read())
        else:
            for piece in range(PIECES):
                file.seek((size - PIECE) * piece // (PIECES - 1))
                found.update(file.read(PIECE))
    return found.hexdigest()


def folder_digest(folder: Path) -> str:
    """Return a digest of the settings and weights of a checkpoint in a folder."""
    files = sorted(path for kind in ("*.json", "*.safetensors") for path in folder.glob(kind))
    return sha256("\n".join(f"{path.name} {file_digest(path)}" for path in files).encode()).hexdigest()
