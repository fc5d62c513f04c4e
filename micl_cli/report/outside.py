"""Scores on tasks outside a run's sequence, which show changes that no learnt task tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from micl_cli.records import ScoreRecord
from micl_cli.report.rules import rule_of


@dataclass(frozen=True)
class OutsideTask:
    """A task outside the sequence, scored by one rule: the scores (x100) by stage, 0 before learning."""

    task: str
    rule: str
    n: int
    scores: Mapping[int, float | None]

    @property
    def change(self) -> float | None:
        """The score after the last evaluated stage minus that after the first; None if there is only one."""
        stages = sorted(stage for stage, value in self.scores.items() if value is not None)
        first, last = (self.scores[stages[0]], self.scores[stages[-1]]) if len(stages) > 1 else (None, None)
        return None if first is None or last is None else last - first

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        scores = [{"after": stage, "value": value} for stage, value in sorted(self.scores.items())]
        return {"task": self.task, "rule": self.rule, "n": self.n, "scores": scores, "change": self.change}


def outside_tasks(scores: Sequence[ScoreRecord]) -> list[OutsideTask]:
    """Return the tasks of ``scores`` in order. Other rules or numbers of examples make entries of their own."""
    groups: dict[tuple[str, str, int], dict[int, float | None]] = {}
    for score in scores:
        groups.setdefault((score.task, rule_of(score), score.n), {})[score.after] = score.value
    return [OutsideTask(*key, by_stage) for key, by_stage in sorted(groups.items(), key=lambda item: item[0])]
