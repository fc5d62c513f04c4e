"""Inspection of one medium: its record, or the reason why it cannot be used."""

from __future__ import annotations

from pathlib import Path

from micl_cli.api.modality import Modality
from micl_cli.data.record import FileRecord, record_file
from micl_cli.errors import MediaError

MISSING = "the file does not exist"
"""The fault of a medium whose file does not exist."""


def inspect_medium(root: Path, name: str, reader: Modality) -> FileRecord | str:
    """Return the record of a medium, or its fault.

    ``name`` is its path relative to ``root``, a path without symbolic links.
    """
    path = root / name
    try:
        if not path.resolve().is_relative_to(root):
            raise MediaError("a symbolic link leads out of the task's folder")
        return _record(path, name, reader)
    except FileNotFoundError:
        return MISSING
    except MediaError as error:
        return error.message.removeprefix(f"{path}: ")
    except (OSError, RuntimeError) as error:  # RuntimeError: circular symbolic links (Python below 3.13)
        return getattr(error, "strerror", None) or str(error)


def _record(path: Path, name: str, reader: Modality) -> FileRecord:
    if path.exists() and not path.is_file():
        raise MediaError("it is not a regular file")  # a pipe would block its reader
    if not path.exists():
        if "\\" in name:
            raise MediaError("no such file (write / between folders)")
        raise FileNotFoundError
    return record_file(path, reader.inspect(path))
