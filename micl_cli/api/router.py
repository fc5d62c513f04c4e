"""Routers: who answers which example, where a strategy keeps several experts."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from micl_cli.api.backbone import Backbone
from micl_cli.api.strategy import State
from micl_cli.api.task import Example, Task


class Route(NamedTuple):
    """The task chosen for one example, and how sure.

    ``margin`` is the chance given to that task less the chance given to the next best, from 0 to 1.
    """

    task: str
    margin: float


class Router(ABC):
    """Learns task by task to tell tasks apart, and then names one for each example.

    Options are keyword-only constructor parameters, as a strategy's; ``needs`` names what the
    backbone must provide. The strategy sets ``experts`` (the adapter of each task learnt so far),
    ``rng`` (the only source of randomness) and ``seed`` before each call of ``learn``. ``passes``
    tells how many times the language model reads a query to route it.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    passes: ClassVar[int] = 0

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.experts: Mapping[str, str] = {}
        self.rng = random.Random(0)
        self.seed = 0

    @abstractmethod
    def learn(self, task: Task, examples: Sequence[Example]) -> None:
        """Take one more task in, from its training examples; those of earlier tasks do not come again."""

    @abstractmethod
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        """Choose among the tasks learnt so far, one for each example."""

    @abstractmethod
    def state(self) -> State:
        """What must be kept to go on."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take back what ``state`` returned."""
