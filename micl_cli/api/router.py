"""Routers: the choice of a task's expert for each example, for strategies with several experts."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from micl_cli.api.backbone import Backbone
from micl_cli.api.events import BASE
from micl_cli.api.strategy import Progress, Route, State
from micl_cli.api.task import Example, Task


@dataclass(frozen=True, kw_only=True)
class RouterContext:
    """The context in which a router learns: the adapter of each task learnt so far, by task, and randomness."""

    experts: Mapping[str, str] = field(default_factory=dict)
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    seed: int = 0


class Router(ABC):
    """Learns, one task at a time, to predict the task that an example belongs to.

    Options are keyword-only constructor parameters, as for strategies; ``needs`` names the capabilities that the
    backbone must provide. ``passes`` is the number of forward passes of the language model for routing one query.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    passes: ClassVar[int] = 0

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    @abstractmethod
    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        """Learn one more task from its training examples; those of earlier tasks are no longer available.

        Yields progress; the task is learnt when the iterator is exhausted.
        """

    @abstractmethod
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        """Choose one of the tasks learnt so far for each example. The strategy adds the selection of adapters."""

    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        """Choose for each example one of its own ``tasks``, at least one, in the order in which they were learnt.

        These are the tasks that have the modalities of the example: the expert of another cannot read it. The default
        takes the choice of ``route`` where it is one of them, and otherwise the latest, with margin 0 unless it is the
        only one. Override it where the router can rank tasks.
        """
        routes = zip(self.route(examples), tasks, strict=True)
        return [r if r.task in own else Route(own[-1], 1.0 if len(own) == 1 else 0.0) for r, own in routes]

    @abstractmethod
    def state(self) -> State:
        """Return the state that a resumed run needs."""

    def routing_state(self) -> State:
        """Return what ``route`` needs of ``state``, for an export that others receive: no training examples."""
        return self.state()

    @abstractmethod
    def restore(self, state: State) -> None:
        """Restore what ``state`` returned."""


def tasks_with_modalities(example: Example, learnt: Mapping[str, Collection[str]]) -> list[str]:
    """Return the tasks of ``learnt``, which maps tasks to their modalities, that have all modalities of an example."""
    return [name for name, modalities in learnt.items() if example.modalities <= set(modalities)]


def route_readable(router: Router, examples: Sequence[Example], learnt: Mapping[str, Collection[str]]) -> list[Route]:
    """Route each example to a task that has all of its modalities, and to the base model where none has.

    ``learnt`` maps the tasks learnt so far, in order, to their modalities.
    """
    tasks = [tasks_with_modalities(example, learnt) for example in examples]
    known = [index for index, own in enumerate(tasks) if own]
    routes = [Route(BASE) for _ in examples]
    if known:
        chosen = router.route_among([examples[index] for index in known], [tasks[index] for index in known])
        for index, route in zip(known, chosen, strict=True):
            routes[index] = route
    return routes
