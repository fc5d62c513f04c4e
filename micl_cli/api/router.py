"""Routers: who answers which example, where a strategy keeps several experts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from micl_cli.api.backbone import Backbone
from micl_cli.api.strategy import State
from micl_cli.api.task import Example, Task


class Route(NamedTuple):
    """The task chosen for one example, and how sure: the best score minus the second best."""

    task: str
    margin: float


class Router(ABC):
    """Learns task by task to tell tasks apart, and then names one for each example."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    @abstractmethod
    def learn(self, task: Task, examples: Sequence[Example]) -> None:
        """Take one more task in, from a few of its examples."""

    @abstractmethod
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        """Choose among the tasks learnt so far, one for each example."""

    @abstractmethod
    def state(self) -> State:
        """What must be kept to go on."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take back what ``state`` returned."""
