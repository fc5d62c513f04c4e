"""Benchmarks of general ability, for evaluation only: ``micl eval RUN --tasks general``.

They show losses that no task of the sequence tests. Each has files of its own, in one of the folders below the root
that its module lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from micl_cli.api import Reader, ReaderTask, Source, SourceRows
from micl_readers.general.mmbench import MMBENCH
from micl_readers.general.mme import MME
from micl_readers.general.pope import POPE
from micl_readers.general.seed import SEED

_SUITES = {"pope": POPE, "mme": MME, "mmbench": MMBENCH, "seed": SEED}


class General(Reader):
    """POPE, MME, MMBench and SEED-Bench."""

    benchmark = "general"
    title = "general ability (POPE, MME, MMBench, SEED-Bench)"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: suite.task for name, suite in _SUITES.items()}
    marks = tuple(mark for suite in _SUITES.values() for mark in suite.marks)
    licence = "; ".join(f"{name}: {suite.licence}" for name, suite in _SUITES.items())
    citation = "; ".join(suite.citation for suite in _SUITES.values())
    origin = ", ".join(suite.origin for suite in _SUITES.values())

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the annotation files of a task."""
        return _SUITES[task].locate(source)

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the questions of a task."""
        return _SUITES[task].rows(files, source)
