"""Superficial forgetting (of the answer format) and essential forgetting (of knowledge).

After another task, a model may answer in the format of that task: its generated answers score low, although the correct
answer still has the highest likelihood among the choices. A loss of generated answers only is superficial forgetting; a
loss of scores by choices is essential forgetting (Chen et al., SEFE, arXiv 2505.02486).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from micl_cli.report.matrix import ScoreMatrix


@dataclass(frozen=True, kw_only=True)
class ForgettingTypes:
    """The forgetting of ``task`` after ``after`` tasks (x100), by type.

    ``total`` is R[i][i] - R[t][i] for generated answers, ``essential`` the same difference for choices.
    """

    task: str
    after: int
    total: float
    essential: float

    @property
    def superficial(self) -> float:
        """The loss of generated answers minus the loss of scores by choices."""
        return self.total - self.essential

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready fields."""
        types = {"total": self.total, "superficial": self.superficial, "essential": self.essential}
        return {"task": self.task, "after": self.after, **types}


def forgetting_types(tasks: Sequence[str], generated: ScoreMatrix, chosen: ScoreMatrix) -> list[ForgettingTypes]:
    """Return an entry for each task and later stage (from 1) for which both scores were measured."""
    entries = []
    for i, task in enumerate(tasks, 1):
        for t in range(i + 1, len(tasks) + 1):
            total, essential = _lost(generated, t, i), _lost(chosen, t, i)
            if total is not None and essential is not None:
                entries.append(ForgettingTypes(task=task, after=t, total=total, essential=essential))
    return entries


def _lost(scores: ScoreMatrix, t: int, i: int) -> float | None:
    learnt, now = scores[i, i], scores[t, i]
    return None if learnt is None or now is None else learnt - now
