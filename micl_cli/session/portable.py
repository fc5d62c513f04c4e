"""Values without the folders of this machine, for files that others receive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def portable(value: Any) -> Any:
    """Return JSON-ready data in which the names of files and folders replace their absolute paths.

    A path may also stand behind a colon, as in "hf:/models/llava", and as the key of a mapping.
    """
    if isinstance(value, Mapping):
        return {portable(key): portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    return _without_folder(value) if isinstance(value, str) else value


def _without_folder(text: str) -> str:
    prefix, colon, rest = text.rpartition(":")
    path = Path(rest)
    return f"{prefix}{colon}{path.name}" if path.is_absolute() or rest.startswith("~") else text
