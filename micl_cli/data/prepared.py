"""Prepared tasks on disk: open them, and check that their data has not changed.

``HOME/tasks/BENCHMARK/NAME/`` contains a canonical ``manifest.jsonl``, ``task.toml`` and
``prepared.json``, the record of all inspected files. Media are in the same folder if micl wrote them,
and in the user's own folder (``root``) otherwise.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from micl_cli.api.task import SPLITS, Row, Task
from micl_cli.data.description import (
    DESCRIPTION,
    MANIFEST,
    Description,
    description_text,
    is_full_name,
    read_description,
)
from micl_cli.data.example_store import ManifestLines, StoredExamples, line_facts, numbers_by_split
from micl_cli.data.manifest import path_fault, relative_path, row_text
from micl_cli.data.typed_json import from_json
from micl_cli.errors import ManifestError, PlanError
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import json_sha256
from micl_cli.io.json_text import json_text
from micl_cli.io.text import MAX_FILE_BYTES, read_json

RECORD = "prepared.json"
_FORMAT = 2
_FORMAT_WITHOUT_DIGEST = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMED_FILES = 5
_CHUNKED = 3  # levels: the record, its media or source, and the annotations of the source


@dataclass(frozen=True, slots=True)
class FileRecord:
    """The state of a file at inspection: size in bytes, modification time, sha256, and facts about a medium."""

    size: int
    mtime_ns: int
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def same_stat(self, path: Path) -> bool:
        """Return whether size and modification time are unchanged. Raises OSError if the file does not exist."""
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)

    def same_file(self, path: Path) -> bool:
        """Return whether the content is unchanged. The file is only read if its modification time differs."""
        return self.same_stat(path) or (path.stat().st_size == self.size and file_sha256(path) == self.sha256)


@dataclass(frozen=True)
class Refused:
    """A skipped example: its id, the path of the medium that cannot be read, and the reason."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class SourceRecord:
    """Where the examples of a task were read from.

    ``reader`` is the name of the reader and ``root`` the folder of the data set. ``options`` are those that change what
    is read, as on the command line. ``annotations`` records the files that were read, relative to ``root``, and
    ``counts`` the number of examples by split, before some were set aside or left out.
    """

    reader: str
    root: str
    options: Mapping[str, str]
    annotations: Mapping[str, FileRecord]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Record:
    """The content of ``prepared.json``.

    ``root`` is the user's folder of media, or None if micl wrote the media itself. ``source`` is the data set that a
    reader read. ``manifest`` and ``described``
    (see :func:`description_sha256`) record the manifest and ``task.toml`` of that folder. ``task_toml`` is the sha256
    of the prepared ``task.toml``; records of format 1 have none, and no ``longest_reference``.
    """

    sha256: str
    counts: Mapping[str, int]
    answers: tuple[str, ...]
    media: Mapping[str, FileRecord]
    refused: tuple[Refused, ...] = ()
    root: str | None = None
    manifest: FileRecord | None = None
    described: str = ""
    task_toml: str = ""
    longest_reference: str | None = None
    source: SourceRecord | None = None

    def command(self, name: str) -> str:
        """Return the command that prepares the task again."""
        if self.source is None:
            return f"micl prepare {self.root or name}"
        values = {"root": self.source.root, **self.source.options}
        flags = [word for key, value in values.items() for word in (f"--{key.replace('_', '-')}", value)]
        return shlex.join(["micl", "prepare", name, *flags])


def longest_reference(rows: Iterable[Row]) -> str:
    """Return the reference with the most bytes, the first of several; empty if there are none."""
    return max((text for row in rows for text in row.references), key=_bytes, default="")


def _bytes(text: str) -> int:
    return len(text.encode())


def task_folder(name: str, home: Path) -> Path:
    """Return the folder in which the task ``benchmark/name`` is prepared. Raises PlanError for an invalid name."""
    if not is_full_name(name):
        hint = "A full name is benchmark/task, in lowercase letters, digits, _ and -."
        raise PlanError(f"{name!r} is not a valid task name", hint)
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
    return _task(name, description, record, manifest, folder)


class _Manifest:
    """What the lines of a prepared manifest say: their splits, the longest reference, and the sha256 of the task."""

    def __init__(self, lines: ManifestLines, description: Description, record: Record) -> None:
        self.lines, self.longest_reference = lines, ""
        self.splits: list[str] = []
        digest = TaskDigest(description)
        for line in lines:
            split, paths, references = line_facts(line)
            self.splits.append(sys.intern(split))
            digest.update(line, [record.media[path].sha256 for path in paths])
            self.longest_reference = max(self.longest_reference, *references, key=_bytes)
        self.sha256 = digest.hexdigest()


def _fits(record: Record, name: str, description: Description, manifest: _Manifest) -> bool:
    """Return whether the description and manifest of a prepared task are those of its record."""
    same_name = description.full_name == name
    same_text = not record.task_toml or task_toml_sha256(description) == record.task_toml
    same_counts = record.counts == {split: manifest.splits.count(split) for split in SPLITS}
    return same_name and same_text and same_counts and manifest.sha256 == record.sha256 and manifest.lines.complete


def read_record(folder: Path) -> Record | None:
    """Return the record of a prepared task, or None if there is none. Raises PlanError if it cannot be read."""
    try:
        data = read_json(folder / RECORD, MAX_FILE_BYTES)
        record: Record = from_json(Record, _verified(data), "the record")
        _check_record(record)
        return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = f"Delete the folder {folder} and prepare the task again."
        raise PlanError(f"{folder / RECORD} cannot be read: {reason}", hint) from error


def _verified(data: Any) -> dict[str, Any]:
    """Return the fields of a record without its format and digest. Raises ValueError if they do not match."""
    if not isinstance(data, dict) or data.get("format") not in (_FORMAT, _FORMAT_WITHOUT_DIGEST):
        raise ValueError("it is damaged, or was written by another version of micl")
    fields = {key: value for key, value in data.items() if key not in ("format", "digest")}
    expected = json_sha256(fields) if data["format"] == _FORMAT else None
    if data.get("digest") != expected:
        raise ValueError("it is damaged: its content does not match its digest")
    return fields


def _check_record(record: Record) -> None:
    """Raise ValueError for a value that has the right type, but cannot be true."""
    annotations = record.source.annotations if record.source else {}
    files = [*record.media.values(), *annotations.values(), *([record.manifest] if record.manifest else [])]
    if any(file.size < 0 or not _SHA256.fullmatch(file.sha256) for file in files) or min(record.counts.values()) < 0:
        raise ValueError("a size, count or sha256 is invalid")
    roots = (record.root, record.source.root if record.source else None)
    if any(map(path_fault, [*record.media, *annotations])) or not all(map(_is_absolute, roots)):
        raise ValueError("a path is invalid")


def _is_absolute(root: str | None) -> bool:
    return root is None or ("\0" not in root and Path(root).is_absolute())


def write_record(folder: Path, record: Record) -> None:
    """Write ``prepared.json``, in chunks, since it has an entry for each medium."""
    digest = hashlib.sha256()
    with (folder / RECORD).open("w", encoding="utf-8", newline="\n") as file:
        for chunk in _canonical(record):
            digest.update(chunk.encode())
            file.write(chunk)
        file.seek(file.tell() - 1)  # the closing brace
        file.write(f',"digest":"{digest.hexdigest()}","format":{_FORMAT}}}\n')


def _canonical(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the text that :func:`json_sha256` hashes, in chunks: the values of a mapping at a time."""
    if is_dataclass(value) and not isinstance(value, type) and depth < _CHUNKED:
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping) and depth < _CHUNKED:
        for number, key in enumerate(sorted(value)):
            yield f"{',' if number else '{'}{json.dumps(key)}:"
            yield from _canonical(value[key], depth + 1)
        yield "}" if value else "{}"
        return
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    yield json_text(plain, default=asdict, sort_keys=True, separators=(",", ":"))


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
        """Return the sha256 of what was added."""
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


def record_file(path: Path, facts: Mapping[str, Any] | None = None) -> FileRecord:
    """Return the record of a file in its current state. Raises OSError."""
    stat = path.stat()
    # As they are read again: tuples become lists, and numbers that JSON does not have become null.
    plain = json.loads(json_text(dict(facts or {})))
    return FileRecord(stat.st_size, stat.st_mtime_ns, file_sha256(path), plain)


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
    examples = {split: StoredExamples(manifest.lines, numbers[split], description, root, digests) for split in SPLITS}
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
        longest_reference=manifest.longest_reference if record.longest_reference is None else record.longest_reference,
        facts={file.sha256: file.facts for file in record.media.values()},
        load=examples.__getitem__,
    )
