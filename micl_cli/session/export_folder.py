"""The folder of an export: where one may be written, and what may be replaced."""

from __future__ import annotations

from pathlib import Path

from micl_cli.errors import UsageError

DOCUMENT = "micl.json"
"""The document of an export, by which its folder is recognised."""


def check_target(target: Path, *, force: bool) -> Path:
    """Return the absolute folder that an export may be written to. Raises UsageError for any other.

    It must not exist, or be empty; with ``force``, it may be that of another export. No other file is ever replaced.
    """
    path = target.expanduser().resolve()
    if path == Path.cwd() or path in Path.cwd().parents:
        raise UsageError(f"{path} is the current folder, or one that it is in", "Name a new folder.")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file", "Name a folder that does not exist yet.")
    if not path.is_dir() or not any(path.iterdir()):
        return path
    if not (path / DOCUMENT).is_file():
        hint = "Name a folder that does not exist yet. Only folders of exports are replaced, by --force."
        raise UsageError(f"{path} is not empty, and is not an export", hint)
    if not force:
        raise UsageError(f"{path} holds another export", "Name another folder, or replace it: --force.")
    return path
