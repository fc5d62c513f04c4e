"""Whether weights are the same as before, told without reading all of them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

WHOLE, PIECES, PIECE = 1 << 20, 256, 1 << 12
"""Bytes up to which a file is read whole; of a larger one, so many pieces of so many bytes."""


def file_digest(path: Path) -> str:
    """A text that changes when a file does: of a large one, by its size and pieces from all over it.

    Learning moves nearly every weight, so that pieces tell; to read all takes as long as loading the model.
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
    """A text that changes when the settings or the weights of a checkpoint in a folder do."""
    files = sorted(path for kind in ("*.json", "*.safetensors") for path in folder.glob(kind))
    return sha256("\n".join(f"{path.name} {file_digest(path)}" for path in files).encode()).hexdigest()
