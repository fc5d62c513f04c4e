"""Prepared tasks on disk: open them, and check that their data has not changed.

``HOME/tasks/BENCHMARK/NAME/`` contains a canonical ``manifest.jsonl``, ``task.toml`` and
``prepared.json``, the record of all inspected files. Media are in the same folder if micl wrote them,
and in the user's own folder (``root``) otherwise.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from micl_cli.api.task import SPLITS, Row, Task
from micl_cli.data.description import (
    DESCRIPTION,
    MANIFEST,
    Description,
    description_text,
    is_full_name,
    read_description,
)
from micl_cli.data.example_store import ManifestLines, StoredExamples, numbers_by_split, stored_row
from micl_cli.data.manifest import relative_path, row_text
from micl_cli.data.path_hint import path_hint
from micl_cli.data.record import RECORD, FileRecord, Record, read_record
from micl_cli.errors import ManifestError, PlanError

_NAMED_FILES = 5


def longest_reference(rows: Iterable[Row]) -> str:
    """Return the reference with the most bytes, the first of several; empty if there are none."""
    return max((text for row in rows for text in row.references), key=_bytes, default="")


def _bytes(text: str) -> int:
    return len(text.encode())


def task_folder(name: str, home: Path) -> Path:
    """Return the folder in which the task ``benchmark/name`` is prepared. Raises PlanError for an invalid name."""
    if not is_full_name(name):
        hint = "A full name is benchmark/task, in lowercase letters, digits, _ and -."
        raise PlanError(f"{name!r} is not a valid task name", path_hint(name) or hint)
    return home.absolute() / "tasks" / name


def is_prepared(name: str, home: Path) -> bool:
    """Return whether the task is prepared, without checking its data."""
    return (task_folder(name, home) / RECORD).is_file()


def prepared_tasks(home: Path) -> list[str]:
    """Return the full names of all prepared tasks, sorted."""
    folders = (path.parent for path in (home / "tasks").glob(f"*/*/{RECORD}") if path.is_file())
    names = (folder.relative_to(home / "tasks").as_posix() for folder in folders)
    return sorted(name for name in names if is_full_name(name))


def open_task(name: str, home: Path, *, verify: bool = True) -> Task:
    """Return a prepared task. ``verify`` checks that its manifest and media have not changed.

    Sizes and modification times are compared, and contents if the times differ, so that an
    identical copy passes. Raises PlanError if the task is not prepared, or is damaged, changed or missing.
    """
    return open_with_record(name, home, verify=verify)[0]


def open_with_record(name: str, home: Path, *, verify: bool = True) -> tuple[Task, Record]:
    """Return a prepared task and its record, like :func:`open_task`."""
    folder = task_folder(name, home)
    record = read_record(folder)
    if record is None:
        hint = f"Prepare it: micl prepare {name}, or micl prepare FOLDER for your own task."
        raise PlanError(f"{name} is not prepared", hint)
    try:
        description = read_description(folder / DESCRIPTION)
        manifest = _Manifest(ManifestLines(folder / MANIFEST), description, record)
        intact = _fits(record, name, description, manifest)
    except (ManifestError, KeyError, ValueError, TypeError, AttributeError, OSError):
        intact = False
    command = record.command(name)
    if not intact:
        raise PlanError(f"the prepared task {name} in {folder} is damaged", f"Prepare it again: {command}")
    if verify and (changes := list(_changes(folder, record))):
        hint = f"Restore the files, or prepare the task again: {command}"
        raise PlanError(f"{name} has changed since it was prepared: {_listing(changes)}", hint)
    return _task(name, description, record, manifest, folder), record


class _Manifest:
    """Facts from the lines of a prepared manifest: splits, longest reference, and the sha256 of the task."""

    def __init__(self, lines: ManifestLines, description: Description, record: Record) -> None:
        self.lines, self.longest_reference = lines, record.longest_reference or ""
        self.splits: list[str] = []
        digest = TaskDigest(description)
        for line in lines:
            row = stored_row(line)
            self.splits.append(sys.intern(row.split))
            digest.update(line, [record.media[relative_path(medium)].sha256 for medium in row.media])
            if record.longest_reference is None:
                self.longest_reference = max(self.longest_reference, *row.references, key=_bytes)
        self.sha256 = digest.hexdigest()


def _fits(record: Record, name: str, description: Description, manifest: _Manifest) -> bool:
    """Return whether the description and manifest of a prepared task match its record."""
    same_name = description.full_name == name
    same_text = not record.task_toml or task_toml_sha256(description) == record.task_toml
    same_counts = record.counts == {split: manifest.splits.count(split) for split in SPLITS}
    return same_name and same_text and same_counts and manifest.sha256 == record.sha256 and manifest.lines.complete


class TaskDigest:
    """The sha256 of a task: its modalities, type, metric, instruction, examples and digests of media, in order.

    It does not depend on the paths and times of files outside the task, nor on its name and description.
    """

    def __init__(self, description: Description) -> None:
        modalities = ",".join(sorted(description.modalities))
        head = [modalities, description.type, description.metric, description.instruction]
        self._digest = hashlib.sha256(json.dumps(head).encode())

    def update(self, line: str, digests: Iterable[str]) -> None:
        """Add a line of the manifest, and the sha256 of each of its media."""
        self._digest.update(f"\n{line}\n{chr(10).join(digests)}".encode())

    def hexdigest(self) -> str:
        """Return the sha256 of the lines added so far."""
        return self._digest.hexdigest()


def fingerprint(description: Description, rows: Iterable[Row], media: Mapping[str, FileRecord]) -> str:
    """Return the sha256 of a task with these rows (see :class:`TaskDigest`)."""
    digest = TaskDigest(description)
    for row in rows:
        digest.update(row_text(row), [media[relative_path(medium)].sha256 for medium in row.media])
    return digest.hexdigest()


def description_sha256(description: Description) -> str:
    """Return the sha256 of a ``task.toml`` without its free-text description."""
    return task_toml_sha256(replace(description, description=""))


def task_toml_sha256(description: Description) -> str:
    """Return the sha256 of the ``task.toml`` of a prepared task."""
    return hashlib.sha256(description_text(description).encode()).hexdigest()


def _changes(folder: Path, record: Record) -> Iterator[str]:
    """Yield the files that differ from the record, with the type of change."""
    root = Path(record.root) if record.root else folder
    if record.manifest:
        yield from _description_changes(root / DESCRIPTION, record.described)
        yield from _file_changes(root, {MANIFEST: record.manifest})
    if record.source:
        yield from _file_changes(Path(record.source.root), record.source.annotations)
    yield from _file_changes(root, record.media)


def _file_changes(root: Path, files: Mapping[str, FileRecord]) -> Iterator[str]:
    for name, file in files.items():
        try:
            if not file.same_file(root / name):
                yield f"{name} (changed)"
        except OSError:
            yield f"{name} (missing)"


def _description_changes(path: Path, recorded: str) -> Iterator[str]:
    try:
        if description_sha256(read_description(path)) != recorded:
            yield f"{path.name} (changed)"
    except ManifestError:
        yield f"{path.name} (changed)" if path.exists() else f"{path.name} (missing)"


def _listing(changes: list[str]) -> str:
    more = len(changes) - _NAMED_FILES
    return ", ".join(changes[:_NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _task(name: str, description: Description, record: Record, manifest: _Manifest, folder: Path) -> Task:
    root = Path(record.root) if record.root else folder
    numbers = numbers_by_split(manifest.splits)
    digests = {path: file.sha256 for path, file in record.media.items()}
    examples = {split: StoredExamples(manifest.lines, numbers[split], name, root, digests) for split in SPLITS}
    return Task(
        name=name,
        modalities=description.modalities,
        type=description.type,
        metric=description.metric,
        description=description.description,
        instruction=description.instruction,
        prompts=description.prompts,
        scorer=description.scorer,
        source=record.source.reader if record.source else "",
        sha256=record.sha256,
        counts=dict(record.counts),
        answers=record.answers,
        longest_reference=manifest.longest_reference,
        facts={file.sha256: file.facts for file in record.media.values()},
        load=examples.__getitem__,
    )
