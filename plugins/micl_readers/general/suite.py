"""The description of one benchmark of general ability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from micl_cli.api import ReaderTask, Source, SourceRows


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A benchmark: functions that locate and read its files, its task, licence and citation."""

    task: ReaderTask
    locate: Callable[[Source], Mapping[str, Path]]
    rows: Callable[[Mapping[str, Path], Source], SourceRows]
    marks: tuple[str, ...]
    citation: str
    licence: str
    origin: str
