"""Inspection of the media of a task: each is opened once, and the reason is recorded if it cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from micl_cli.api.modality import Modality
from micl_cli.api.task import Row
from micl_cli.data.manifest import relative_path
from micl_cli.data.prepared import FileRecord, Refused, record_file
from micl_cli.errors import MediaError
from micl_cli.io.spelling import Spellings

Progress = Callable[[int, int | None], None]
"""Called with the number of examples inspected so far, and their total if it is known."""
_MISSING = "the file does not exist"
MediumKey = tuple[str, str]
"""A modality and a path, since one file may be read as media of two modalities."""


@dataclass
class Inspection:
    """Opens the media of examples, and collects valid rows, file records, faults of media, and skipped examples.

    ``readers`` holds the reader of each modality; ``known`` holds the records of media from an earlier inspection.
    """

    root: Path
    readers: Mapping[str, Modality]
    known: Mapping[MediumKey, FileRecord] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    records: dict[MediumKey, FileRecord] = field(default_factory=dict)
    faults: dict[MediumKey, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def inspect(self, rows: Iterable[Row], total: int | None, progress: Progress | None) -> None:
        """Open each medium once. Rows with a medium that cannot be read are added to ``refused``."""
        for done, row in enumerate(rows, 1):
            keys = list(medium_keys(row))
            for key in keys:
                if key not in self.records and key not in self.faults:
                    self._open(key)
            if faulty := next((key for key in keys if key in self.faults), None):
                self.refused.append(Refused(row.id, faulty[1], self.faults[faulty]))
            else:
                self.rows.append(row)
            if progress:
                progress(done, total)

    @property
    def media(self) -> dict[str, FileRecord]:
        """The file records of the valid rows' media by path. The facts of a file with two modalities are merged."""
        records: dict[str, FileRecord] = {}
        for key in dict.fromkeys(key for row in self.rows for key in medium_keys(row)):
            path, record = key[1], self.records[key]
            facts = {**records[path].facts, **record.facts} if path in records else record.facts
            records[path] = replace(record, facts=facts)
        return records

    def _open(self, key: MediumKey) -> None:
        path = self.root / key[1]
        try:
            if not path.resolve().is_relative_to(self.root):
                raise MediaError("a symbolic link leads out of the task's folder")
            self.records[key] = self._record(key, path)
        except FileNotFoundError:
            self.faults[key] = self._missing(key[1])
        except MediaError as error:
            self.faults[key] = error.message.removeprefix(f"{path}: ")
        except (OSError, RuntimeError) as error:  # RuntimeError: circular symbolic links (Python below 3.13)
            self.faults[key] = getattr(error, "strerror", None) or str(error)

    def _missing(self, path: str) -> str:
        other = self._spellings.find(path) if ".." not in path else ""
        return f"the file does not exist; there is {other}, which is spelt differently" if other else _MISSING

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.root)

    def _record(self, key: MediumKey, path: Path) -> FileRecord:
        if path.exists() and not path.is_file():
            raise MediaError("it is not a regular file")  # a pipe would block its reader
        if not path.exists():
            if "\\" in key[1]:
                raise MediaError("no such file (write / between folders)")
            raise FileNotFoundError
        known = self.known.get(key)
        if known and known.same_stat(path):
            return known
        return record_file(path, self.readers[key[0]].inspect(path))


def medium_keys(row: Row) -> Iterator[MediumKey]:
    """Yield the modality and path of each medium of a row."""
    return ((medium.modality, relative_path(medium)) for medium in row.media)
