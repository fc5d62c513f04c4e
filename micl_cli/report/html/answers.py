"""Stored answers of a run, by example: its content, and the answer after each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from micl_cli.api.task import Media
from micl_cli.records import PredictionRecord, StepRecord
from micl_cli.report.html.previews import Preview

MAX_DETAILED = 4
"""A report of more runs shows neither curves nor answers, and folds the tables of each run."""
SMALLEST = 1e-9
"""Scores below this are 0: the answer is wrong."""
FORGOTTEN_SHARE = 0.5
"""An example is forgotten if its score falls below this share of its score right after learning."""


@dataclass(frozen=True, kw_only=True)
class AnsweredExample:
    """An example with its answers by stage (0: before learning). ``learnt`` is the stage that learnt its task, or None.

    ``prompt`` is None if the example is not available; ``media`` are those to preview, and ``more``
    counts the others.
    """

    id: str
    answers: Mapping[int, PredictionRecord]
    learnt: int | None = None
    prompt: str | None = None
    media: Sequence[Media] = ()
    more: int = 0

    @property
    def references(self) -> tuple[str, ...]:
        """The references, as they were when the latest answer was scored."""
        return self.answers[max(self.answers)].references if self.answers else ()

    @property
    def wrong(self) -> list[int]:
        """The stages after which the answer has a score of 0, or is missing."""
        return [stage for stage, record in self.answers.items() if _is_wrong(record)]

    @property
    def forgotten(self) -> list[int]:
        """The stages after which the score is less than half of the score right after learning."""
        reference = self.answers.get(self.learnt) if self.learnt is not None else None
        if reference is None or not reference.score or reference.score < SMALLEST:
            return []
        least = FORGOTTEN_SHARE * reference.score
        later = {stage: record for stage, record in self.answers.items() if stage > (self.learnt or 0)}
        return [stage for stage, each in later.items() if each.score is not None and each.score < least]


def _is_wrong(record: PredictionRecord) -> bool:
    return record.missing or (record.score is not None and record.score < SMALLEST)


@dataclass(frozen=True, kw_only=True)
class TaskAnswers:
    """The answers of a run to a task after ``stages``; ``examples`` are the first of ``stored`` ones."""

    task: str
    stages: Sequence[int]
    examples: Sequence[AnsweredExample]
    stored: int
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ReportDetails:
    """The data of an HTML report besides the scores of runs: optimiser steps and answers by the id of the run.

    ``previews`` holds those of media by :attr:`micl_cli.api.task.Media.key`. ``notes`` say what is left out.
    """

    steps: Mapping[str, Sequence[StepRecord]] = field(default_factory=dict)
    answers: Mapping[str, Sequence[TaskAnswers]] = field(default_factory=dict)
    previews: Mapping[str, Preview] = field(default_factory=dict)
    notes: Sequence[str] = ()
