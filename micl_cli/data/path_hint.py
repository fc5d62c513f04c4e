"""The hint for a path that is given in place of the name of a task."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

from micl_cli.data.description import DESCRIPTION, OWN

_FOREIGN = re.compile(r"[^a-z0-9_-]+")
"""Characters that names of tasks do not have."""


def path_hint(name: str) -> str:
    """Return how to prepare the file or folder that the name of a task, or its last part, is; or an empty text.

    Names of tasks are in lower case, and so may not be what the file is called.
    """
    path = next((found for text in (name, name.rpartition("/")[2]) if text and (found := _existing(Path(text)))), None)
    if path is None:
        return ""
    shown = shlex.quote(str(path))
    if (path / DESCRIPTION).is_file():
        return f"It is a folder; prepare the task in it: micl prepare {shown}"
    task = _FOREIGN.sub("_", path.absolute().stem.lower()).strip("_-") or "data"
    kind = "folder" if path.is_dir() else "file"
    return f"It is a {kind}; prepare its examples as a task: micl prepare --from {shown} --as {OWN}/{task}"


def _existing(path: Path) -> Path | None:
    """Return an existing path that is written like ``path``, perhaps but for the case of its last part."""
    with suppress(OSError, ValueError):
        if path.exists():
            return path
        return next((each for each in path.parent.iterdir() if each.name.lower() == path.name.lower()), None)
    return None
