"""The folder of an export: where one may be written, and what may be replaced."""

from __future__ import annotations

from pathlib import Path

from micl_cli.errors import CheckpointError, UsageError
from micl_cli.io.documents import damage_reported, read_document

DOCUMENT = "micl.json"
"""The document of an export, by which its folder is recognised."""
CARD = "README.md"
"""The model card of an export."""


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
        raise UsageError(f"{path} holds {_described(path)} already", "Name another folder, or replace it: --force.")
    if other := _other_file(path):
        hint = "Move it elsewhere first, or name another folder: --force replaces only what an export wrote."
        raise UsageError(f"{path} holds another file besides an export: {other}", hint)
    return path


def _described(folder: Path) -> str:
    """Return the run, stage and format of the export in a folder, as far as its document names them."""
    try:
        content = read_document(folder / DOCUMENT)
    except CheckpointError:
        return "an export"
    run, stage, form = (content.get(name) for name in ("run", "stage", "export_format"))
    return f"the export of run {run} after stage {stage} (format {form})" if run else "an export"


def written_files(document: Path) -> set[str]:
    """Return the names of the files of the export that ``document`` describes. Raises CheckpointError."""
    content = read_document(document)
    with damage_reported(document):
        return {DOCUMENT, CARD, *map(str, content["files"])}


def _other_file(folder: Path) -> str:
    """Return a file in the folder of an export that is not part of it, or an empty text."""
    try:
        own = written_files(folder / DOCUMENT)
    except CheckpointError:
        own = set()
    files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return next((name for name in sorted(path.relative_to(folder).as_posix() for path in files) if name not in own), "")
