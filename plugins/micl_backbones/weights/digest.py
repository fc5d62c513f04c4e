"""Digests of weights, computed without reading large files completely."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

WHOLE, PIECES, PIECE = 1 << 20, 256, 1 << 12
"""Largest file that is read completely, in bytes; otherwise the number of sampled pieces, and their size in bytes."""


def file_digest(path: Path) -> str:
    """Return a digest of a file; of a large one, of its size and of evenly spaced pieces.

    Training changes nearly every weight, so that pieces suffice; reading everything takes as long as loading the model.
    """
    size = path.stat().st_size
    digest = sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE:
            digest.update(file.read())
        else:
            for piece in range(PIECES):
                file.seek((size - PIECE) * piece // (PIECES - 1))
                digest.update(file.read(PIECE))
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """Return a digest of the configuration and the weights of a checkpoint folder."""
    files = sorted(path for pattern in ("*.json", "*.safetensors") for path in folder.glob(pattern))
    return sha256("\n".join(f"{path.name} {file_digest(path)}" for path in files).encode()).hexdigest()
