"""Inspection of the media of a task: each is opened once, and the reason is recorded if it cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from micl_cli.api.modality import Modality
from micl_cli.api.task import Row
from micl_cli.data.inspectors import FEW, MediumKey, inspectors
from micl_cli.data.journal import journal, read_journal
from micl_cli.data.manifest import relative_path
from micl_cli.data.media_files import MISSING, inspect_medium
from micl_cli.data.record import FileRecord, Refused
from micl_cli.io.spelling import Spellings

Progress = Callable[[int, int | None], None]
"""Called with the number of examples inspected so far, and their total if it is known."""


@dataclass
class Inspection:
    """Opens the media of examples, and collects valid rows, file records, faults of media, and skipped examples.

    ``readers`` holds the media reader of each modality; ``known`` holds the records of media from an earlier
    inspection.
    """

    root: Path
    readers: Mapping[str, Modality]
    known: Mapping[MediumKey, FileRecord] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    records: dict[MediumKey, FileRecord] = field(default_factory=dict)
    faults: dict[MediumKey, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def inspect(self, rows: Iterable[Row], progress: Progress | None = None) -> None:
        """Open each medium once, as rows are produced. Rows with a medium that cannot be read are refused."""
        for done, row in enumerate(rows, 1):
            for key in medium_keys(row):
                if key not in self.records and key not in self.faults:
                    self._take(key, inspect_medium(self.root, key[1], self.readers[key[0]]))
            self._add(row)
            if progress:
                progress(done, None)

    def inspect_all(
        self, rows: Sequence[Row], progress: Progress | None = None, *, jobs: int = 1, journal_path: Path | None = None
    ) -> None:
        """Open each medium of ``rows`` once, by ``jobs`` processes. The result does not depend on their number.

        ``journal_path`` is the path of a journal, from which an interrupted inspection is resumed.
        """
        interrupted = read_journal(journal_path, self.root) if journal_path else None
        known = {**self.known, **(interrupted or {})}
        keys = list(dict.fromkeys(key for row in rows for key in medium_keys(row)))
        unknown = []
        for key in keys:
            if key in known and (record := self._unchanged(key, known[key])):
                self.records[key] = record
            else:
                unknown.append(key)
        with ExitStack() as stack:
            inspect = stack.enter_context(inspectors(self.root, self.readers, jobs))
            note = None
            if journal_path and len(unknown) >= FEW:
                note = stack.enter_context(journal(journal_path, self.root, append=interrupted is not None))
            results = inspect(unknown)
            for done, row in enumerate(rows, 1):
                for key in medium_keys(row):
                    while key not in self.records and key not in self.faults:
                        found, result = next(results)
                        self._take(found, result)
                        if note and isinstance(result, FileRecord):
                            note(*found, result)
                self._add(row)
                if progress:
                    progress(done, len(rows))

    @property
    def media(self) -> dict[str, FileRecord]:
        """The file records of the valid rows' media by path. The facts of a file with two modalities are merged."""
        records: dict[str, FileRecord] = {}
        for key in dict.fromkeys(key for row in self.rows for key in medium_keys(row)):
            path, record = key[1], self.records[key]
            former = records.get(path)
            records[path] = replace(record, facts={**former.facts, **record.facts}) if former else record
        return records

    def _unchanged(self, key: MediumKey, record: FileRecord) -> FileRecord | None:
        """Return the record of a medium that has not changed since it was made, or None."""
        path = self.root / key[1]
        try:
            return record if path.resolve().is_relative_to(self.root) and record.same_stat(path) else None
        except (OSError, RuntimeError):
            return None

    def _take(self, key: MediumKey, result: FileRecord | str) -> None:
        if isinstance(result, str):
            self.faults[key] = self._with_spelling(result, key[1])
        else:
            self.records[key] = result

    def _add(self, row: Row) -> None:
        if faulty := next((key for key in medium_keys(row) if key in self.faults), None):
            self.refused.append(Refused(row.id, faulty[1], self.faults[faulty]))
        else:
            self.rows.append(row)

    def _with_spelling(self, fault: str, path: str) -> str:
        """Return the fault of a medium, with the name of an existing file that differs in spelling only."""
        other = self._spellings.find(path) if fault == MISSING and ".." not in path else ""
        return f"{fault}; there is {other}, which is spelt differently" if other else fault

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.root)


def medium_keys(row: Row) -> Iterator[MediumKey]:
    """Yield the modality and path of each medium of a row."""
    return ((medium.modality, relative_path(medium)) for medium in row.media)
