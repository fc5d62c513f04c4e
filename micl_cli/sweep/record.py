"""Records of sweeps: which runs belong to one, also those that have not started, for displays of its progress.

A record is a file in the home folder, since the store only has runs that have started. The same grid has one record,
however often it is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from micl_cli.data.typed_json import from_json
from micl_cli.errors import CheckpointError
from micl_cli.io.documents import damage_reported, json_sha256, read_document, write_document
from micl_cli.settings import Settings
from micl_cli.store import is_run_id

if TYPE_CHECKING:
    from micl_cli.sweep.grid import Cell

_ID_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """A cell of a sweep: the labels of its strategy and order, its seed, and the id of its run."""

    run: str
    strategy: str
    order: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """A sweep with its cells; ``started`` is the time of its latest start, as the store writes times."""

    id: str
    started: str
    cells: tuple[CellRecord, ...]


def record_sweep(settings: Settings, cells: Sequence[Cell], started: str) -> SweepRecord:
    """Write the record of a sweep, in place of that of an earlier start. Raises CheckpointError."""
    rows = tuple(CellRecord(**cell.as_json()) for cell in cells)
    name = json_sha256(sorted(row.run for row in rows))[:_ID_LENGTH]
    record = SweepRecord(id=name, started=started, cells=rows)
    write_document(_folder(settings) / f"{name}.json", asdict(record))
    return record


def sweep_records(settings: Settings, limit: int) -> list[SweepRecord]:
    """Return the sweeps that were started latest, the latest first, without damaged records."""
    return sorted(_readable(_latest(_folder(settings), limit)), key=lambda record: record.started, reverse=True)


def _folder(settings: Settings) -> Path:
    return settings.home / "sweeps"


def _latest(folder: Path, limit: int) -> list[Path]:
    """Return the files that were written latest. One that vanishes in between is left out."""
    times: list[tuple[float, Path]] = []
    for path in folder.glob("*.json"):
        with suppress(OSError):
            times.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(times, reverse=True)[:limit]]


def _readable(paths: Iterable[Path]) -> Iterator[SweepRecord]:
    for path in paths:
        try:
            yield _read(path)
        except CheckpointError:
            continue


def _read(path: Path) -> SweepRecord:
    with damage_reported(path):
        record: SweepRecord = from_json(SweepRecord, read_document(path), path.name)
        if record.id != path.stem or not all(is_run_id(cell.run) for cell in record.cells):
            raise ValueError("an id is not valid")
        return record
