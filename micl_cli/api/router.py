"""Routers: the choice of a task's expert for each example, for strategies with several experts."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from micl_cli.api.backbone import Backbone
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

    @abstractmethod
    def state(self) -> State:
        """Return the state that a resumed run needs."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Restore what ``state`` returned."""
