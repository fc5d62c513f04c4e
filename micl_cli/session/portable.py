"""JSON-ready values without the folders of this machine, for files that other people receive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PATH = re.compile(r"(?P<before>^|[:=,\s])(?:~[^/,:=\s]*)?/(?!\s)(?:[^,:=]*/)?(?P<name>[^/,:=]*)")
"""An absolute path or one below a home folder, at the beginning of a text or of a value in it."""


def portable(value: Any) -> Any:
    """Return JSON-ready data in which the names of files and folders replace their absolute paths.

    A path may also stand within a text, as in "hf:/models/llava", and be the key of a mapping.
    """
    if isinstance(value, Mapping):
        return {portable(key): portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    return _PATH.sub(r"\g<before>\g<name>", value) if isinstance(value, str) else value
