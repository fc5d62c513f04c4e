"""``prepared.json``: the record of a prepared task and of all inspected files."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from micl_cli.data.manifest import path_fault
from micl_cli.data.typed_json import from_json
from micl_cli.errors import PlanError
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import json_sha256
from micl_cli.io.json_text import json_text
from micl_cli.io.text import MAX_FILE_BYTES, read_json

RECORD = "prepared.json"
_FORMAT = 2
_FORMAT_WITHOUT_DIGEST = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
    """The origin of the examples of a task.

    ``reader`` is the name of the reader and ``root`` the folder of the data set. ``options`` are those that affect
    the examples, as on the command line. ``annotations`` records the annotation files, relative to ``root``, and
    ``counts`` the number of examples by split before any were set aside or left out. ``arguments`` are those of the
    command that prepares the task again, for a data set of the user's own.
    """

    reader: str
    root: str
    options: Mapping[str, str]
    annotations: Mapping[str, FileRecord]
    counts: Mapping[str, int]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """The content of ``prepared.json``.

    ``root`` is the user's folder of media, or None if micl wrote the media itself. ``source`` is the data set that the
    examples were read from. ``manifest`` and ``described``
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
            return shlex.join(["micl", "prepare", self.root or name])
        if self.source.arguments:
            return shlex.join(["micl", "prepare", *self.source.arguments])
        values = {"root": self.source.root, **self.source.options}
        flags = [word for key, value in values.items() for word in (f"--{key.replace('_', '-')}", value)]
        return shlex.join(["micl", "prepare", name, *flags])


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
    """Raise ValueError for a value of the right type that is invalid."""
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
    """Write ``prepared.json`` in chunks: it has an entry for each medium."""
    digest = hashlib.sha256()
    with (folder / RECORD).open("w", encoding="utf-8", newline="\n") as file:
        for chunk in _canonical(record):
            digest.update(chunk.encode())
            file.write(chunk)
        file.seek(file.tell() - 1)  # the closing brace
        file.write(f',"digest":"{digest.hexdigest()}","format":{_FORMAT}}}\n')


def _canonical(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the text that :func:`json_sha256` hashes, in chunks of one mapping value."""
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


def record_file(path: Path, facts: Mapping[str, Any] | None = None) -> FileRecord:
    """Return the record of a file in its current state. Raises OSError."""
    stat = path.stat()
    # As after reading the record: tuples become lists, and numbers that JSON lacks become null.
    plain = json.loads(json_text(dict(facts or {})))
    return FileRecord(stat.st_size, stat.st_mtime_ns, file_sha256(path), plain)
