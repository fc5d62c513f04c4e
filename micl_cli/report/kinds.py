"""Forgetting of the answer's format against forgetting of what is known.

After another task a model may answer in that task's manner: scored on what it writes it has
forgotten, though it still prefers the right answer among those given. What comes back in the
scores by choices is superficial forgetting, what stays lost is essential (the terms are those of
SEFE, arXiv 2505.02486).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from micl_cli.report.matrix import ScoreMatrix


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """What was forgotten of ``task`` (x100) ``after`` so many tasks, and how much of it is of which kind.

    ``total`` is R[i][i] - R[t][i] on generated answers, ``essential`` the same on choices, and
    ``superficial`` what is left of the total.
    """

    task: str
    after: int
    total: float
    essential: float

    @property
    def superficial(self) -> float:
        """Gone from the generated answers, and still there among the choices."""
        return self.total - self.essential

    def as_json(self) -> dict[str, object]:
        """JSON-ready fields."""
        parts = {"total": self.total, "superficial": self.superficial, "essential": self.essential}
        return {"task": self.task, "after": self.after, **parts}


def forgetting_kinds(tasks: Sequence[str], generated: ScoreMatrix, chosen: ScoreMatrix) -> list[Kinds]:
    """One entry a task and later step (1-based) where both scores were measured."""
    found = []
    for i, task in enumerate(tasks, 1):
        for t in range(i + 1, len(tasks) + 1):
            total, essential = _lost(generated, t, i), _lost(chosen, t, i)
            if total is not None and essential is not None:
                found.append(Kinds(task=task, after=t, total=total, essential=essential))
    return found


def _lost(scores: ScoreMatrix, t: int, i: int) -> float | None:
    learnt, now = scores[i, i], scores[t, i]
    return None if learnt is None or now is None else learnt - now
