"""Digests of the files of a base model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from micl_cli.api import PlanError, read_json

FileDigest = Callable[[Path], str]
"""Returns the sha256 of a file: ``Resources.file_digest``."""
WHOLE, PIECES, PIECE = 1 << 20, 256, 1 << 12
"""For sampled digests: the largest file that is read completely; otherwise the number of pieces, and their size."""
_LOADED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py", "*/*.jinja")
"""The files of a checkpoint folder that transformers may load: weights, configurations, tokenizers, templates, code."""
_NO_WEIGHTS = (".toml", ".whl", ".lock", ".part", ".new", ".pyc")
"""The suffixes of files in a folder of weights that are none."""
RECORD = "digests.json"
"""The file in a preset's folder of weights that holds the sha256 of each, by path."""


def folder_digest(folder: Path, digest: FileDigest) -> str:
    """Return a digest of all files of a checkpoint folder that may be loaded."""
    files = sorted({path for pattern in _LOADED for path in folder.glob(pattern) if path.is_file()})
    lines = [f"{path.relative_to(folder).as_posix()} {digest(path)}" for path in files]
    return sha256("\n".join(lines).encode()).hexdigest()


# The weights of presets that are fetched or part of this package


def recorded_files(folder: Path) -> list[Path]:
    """Return the files of a preset's folder whose digests are recorded."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != RECORD]
    return sorted(path for path in files if path.suffix not in _NO_WEIGHTS and not path.name.startswith("."))


def record_digests(folder: Path, digest: FileDigest) -> None:
    """Write the digests of a folder's files into the folder, unless it is read-only."""
    named = {path.relative_to(folder).as_posix(): digest(path) for path in recorded_files(folder)}
    fresh = folder / f".{RECORD}.{os.getpid()}.new"
    with suppress(OSError):
        fresh.write_text(json.dumps(named, indent=1) + "\n", encoding="utf-8")
        fresh.replace(folder / RECORD)


def check_recorded(folder: Path, digest: FileDigest, hint: str) -> None:
    """Raise PlanError, with ``hint``, if a file of a folder differs from its recorded digest."""
    try:
        named = read_json(folder / RECORD)
        if not isinstance(named, Mapping):
            raise ValueError(f"{RECORD} is not an object")
        present = {path.relative_to(folder).as_posix() for path in recorded_files(folder)}
        if unrecorded := sorted(present - named.keys()):
            raise ValueError(f"{RECORD} has no digest of {unrecorded[0]}")
        changed = next((name for name, value in named.items() if digest(folder / name) != value), None)
    except (OSError, ValueError) as error:
        raise PlanError(f"the weights in {folder} cannot be checked: {error}", hint) from error
    if changed:
        raise PlanError(f"{folder / changed} has changed: it does not match its recorded sha256", hint)


# Digests of earlier versions


def sampled_digest(path: Path) -> str:
    """Return a digest of a file; of a large one, of its size and of evenly spaced pieces.

    Plans of earlier versions hold digests of this form.
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


def sampled_folder_digest(folder: Path) -> str:
    """Return a digest of the sampled configuration and weights of a checkpoint folder."""
    files = sorted(path for pattern in ("*.json", "*.safetensors") for path in folder.glob(pattern))
    return sha256("\n".join(f"{path.name} {sampled_digest(path)}" for path in files).encode()).hexdigest()
