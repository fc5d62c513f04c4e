"""How well the tasks of queries were told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RoutingRow:
    """Where the ``n`` examples of ``task`` were sent after stage ``after``: ``chosen`` counts them by task.

    ``unsure`` of them had a small margin; choosing took ``seconds`` in all, and ``passes`` of the
    language model a query.
    """

    after: int
    task: str
    router: str
    n: int
    chosen: Mapping[str, int]
    unsure: int
    seconds: float
    passes: int = 0
    split: str = "test"


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Routing after the last stage.

    ``confusion[task][chosen]`` counts examples; ``accuracy`` and ``unsure`` are x100, over all
    examples of all tasks; a query took ``seconds_per_query`` and ``passes`` of the language model
    to be routed.
    """

    router: str
    accuracy: float
    confusion: Mapping[str, Mapping[str, int]]
    unsure: float
    seconds_per_query: float
    passes: int

    def as_json(self) -> dict[str, object]:
        """JSON-ready fields."""
        return {
            "router": self.router,
            "accuracy": self.accuracy,
            "confusion": {task: dict(row) for task, row in self.confusion.items()},
            "unsure": self.unsure,
            "seconds_per_query": self.seconds_per_query,
            "passes": self.passes,
        }


def routing_of(rows: Sequence[RoutingRow], tasks: Sequence[str]) -> Routing | None:
    """The rows of one stage as one; None where there are none."""
    total = sum(row.n for row in rows)
    if not total:
        return None
    ordered = sorted(rows, key=lambda row: tasks.index(row.task) if row.task in tasks else len(tasks))
    return Routing(
        router=ordered[0].router,
        accuracy=100 * sum(row.chosen.get(row.task, 0) for row in ordered) / total,
        confusion={row.task: {task: row.chosen.get(task, 0) for task in tasks} for row in ordered},
        unsure=100 * sum(row.unsure for row in ordered) / total,
        seconds_per_query=sum(row.seconds for row in ordered) / total,
        passes=max(row.passes for row in ordered),
    )
