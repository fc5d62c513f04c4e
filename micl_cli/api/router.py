"""Routers: who answers which example, where a strategy keeps several experts."""

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
    """What a router is told while it learns: the adapter of each task learnt so far, and its randomness."""

    experts: Mapping[str, str] = field(default_factory=dict)
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    seed: int = 0


class Router(ABC):
    """Learns task by task to tell tasks apart, and then names one for each example.

    Options are keyword-only constructor parameters, as a strategy's; ``needs`` names what the backbone must provide.
    ``passes`` tells how many times the language model reads a query to route it.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    passes: ClassVar[int] = 0

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    @abstractmethod
    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        """Take one more task in, from its training examples; those of earlier tasks do not come again.

        Yields its progress; it has learnt when the iterator ends.
        """

    @abstractmethod
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        """Choose among the tasks learnt so far, one for each example; the strategy adds the selection."""

    @abstractmethod
    def state(self) -> State:
        """Return what must be kept to go on."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take back what ``state`` returned."""
