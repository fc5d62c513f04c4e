"""Routing accuracy: the share of examples whose predicted task is their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from micl_cli.api.events import BASE
from micl_cli.records import RoutingRecord


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The routing after the last stage.

    ``confusion[task][predicted]`` counts examples. ``accuracy`` and ``unsure`` are x100, over all examples of all
    tasks. The base model answered ``base`` of them, since no task learnt had their modalities. Routing took
    ``seconds_per_query``, and ``passes`` of the language model for each query.
    """

    router: str
    accuracy: float
    confusion: Mapping[str, Mapping[str, int]]
    unsure: float
    seconds_per_query: float
    passes: int
    base: int = 0

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready fields."""
        return {
            "router": self.router,
            "accuracy": self.accuracy,
            "confusion": {task: dict(row) for task, row in self.confusion.items()},
            "unsure": self.unsure,
            "seconds_per_query": self.seconds_per_query,
            "passes": self.passes,
            "base": self.base,
        }


def routing_of(records: Sequence[RoutingRecord], tasks: Sequence[str]) -> Routing | None:
    """Return a summary of the routings after one stage, or None if there are none."""
    total = sum(record.n for record in records)
    if not total:
        return None
    ordered = sorted(records, key=lambda record: tasks.index(record.task) if record.task in tasks else len(tasks))
    return Routing(
        router=ordered[0].router,
        accuracy=100 * sum(record.chosen.get(record.task, 0) for record in ordered) / total,
        confusion={record.task: {task: record.chosen.get(task, 0) for task in tasks} for record in ordered},
        unsure=100 * sum(record.unsure for record in ordered) / total,
        seconds_per_query=sum(record.seconds for record in ordered) / total,
        passes=max(record.passes for record in ordered),
        base=sum(record.chosen.get(BASE, 0) for record in ordered),
    )
