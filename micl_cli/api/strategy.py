"""Strategies: what is done against forgetting."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from micl_cli.api.backbone import Backbone, Batch
from micl_cli.api.task import Example, Task

ADAPTER = "main"
"""The adapter that single-adapter strategies learn."""


@dataclass
class State:
    """What a strategy keeps between tasks: ``tensors`` by name, and JSON-ready ``data``."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def _no_parts(kind: str, name: str) -> type[Any]:
    raise LookupError(f"nobody handed parts over: {kind} {name}")


class Strategy:
    """Learn each task in turn, and do nothing against forgetting.

    Every method is one place where a strategy may depart from that. The flow calls them in
    the order they stand here. Options are keyword-only constructor parameters annotated with
    ``Annotated[type, "help"]``, kept as attributes of the same name; the flow may set them
    anew before a task (``-o 3:lambda_kl 0.5``). ``needs`` names what the backbone must provide.

    During a stage, ``position`` is its 1-based place, ``stage`` the tasks learnt in it (one,
    but for joint learning), ``seen`` the tasks learnt before it, ``rng`` the only source of
    randomness, and ``seed`` the run's. A strategy may put the terms of its loss into ``parts``, to be shown.
    ``load_part`` gives the class of a registered part by kind and name ("routers", "ridge");
    ``at_once`` is how many examples the model reads or answers together outside a step, and
    ``autocast()`` computes there in a step's number format.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"adapters"})

    def __init__(self, backbone: Backbone, *, rng: random.Random | None = None) -> None:
        self.backbone = backbone
        self.rng = rng or random.Random(0)
        self.seed = 0
        self.at_once = 32
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.position = 0
        self.stage: Sequence[Task] = ()
        self.seen: Sequence[Task] = ()
        self.parts: dict[str, float] = {}
        self.routes: Sequence[tuple[str, float]] = ()
        self.routing_passes = 0
        self.router = ""
        self.load_part: Callable[[str, str], type[Any]] = _no_parts

    def stages(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        """The tasks in the order and the groups in which they are learnt: one at a time."""
        return [[task] for task in tasks]

    def begin(self, task: Task) -> None:
        """Before a task: add an adapter, freeze what is old, keep a teacher."""
        if ADAPTER not in self.backbone.adapters:
            self.backbone.add_adapter(ADAPTER, seed=self.seed)
        self.backbone.activate(ADAPTER)

    def examples(self, task: Task) -> Sequence[Example]:
        """What is learnt from during this task."""
        return task.examples("train")

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The weights that move: the active adapter's LoRA and this task's connector."""
        yield from self.backbone.trainable({task.modality for task in self.stage}).items()

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights that move, without their names."""
        for _, weight in self.trainable():
            yield weight

    def batch(self, examples: Sequence[Example]) -> Batch:
        """The drawn examples as a batch; what a strategy adds to them joins here."""
        return self.backbone.batch(examples)

    def loss(self, batch: Batch) -> Tensor:
        """What is made small."""
        return self.backbone.loss(batch)

    def constrain(self) -> None:
        """After the gradients are there and before they are used: project or mask them."""

    def step_end(self, step: int) -> None:
        """After optimiser step ``step`` (1-based) of a task."""

    def epoch_end(self) -> None:
        """After each pass over the examples, and before validation."""

    def end(self, task: Task) -> None:
        """After a task, with its best weights in place: remember, measure importance, merge."""

    def route(self, examples: Sequence[Example]) -> Sequence[str] | None:
        """Before answering: an adapter for each example; None: the active one. The task is not told.

        Where tasks were told apart, ``routes`` holds the (task, margin) behind each adapter afterwards,
        ``routing_passes`` how often the language model read each query for that, and ``router`` what chose.
        """
        return None

    def state(self) -> State:
        """What must be kept to go on, besides the backbone's adapters."""
        return State()

    def restore(self, state: State) -> None:
        """Take back what ``state`` returned."""

    def configure(self, options: Mapping[str, Any]) -> None:
        """Set options anew before a task."""
        for name, value in options.items():
            setattr(self, name, value)
