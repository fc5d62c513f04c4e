"""Strategies: what is done against forgetting."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from micl_cli.api.backbone import Backbone, Batch
from micl_cli.api.resources import PartLoader
from micl_cli.api.selection import Selection
from micl_cli.api.task import Example, Task

ADAPTER = "main"
"""The adapter that single-adapter strategies learn."""

Loss = Tensor | Mapping[str, Tensor]
"""A scalar, or the terms whose sum it is, by name."""


@dataclass
class State:
    """What a strategy keeps between tasks: ``tensors`` by name, and JSON-ready ``data``."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


class Progress(NamedTuple):
    """How far a pass over data is: ``done`` of ``total`` (None where unknown), and what is being done."""

    done: int
    total: int | None = None
    label: str = ""


class Route(NamedTuple):
    """Who answers one example: a selection of adapters, the task that it was taken for, and how sure that is.

    ``selection`` is None (the base model), a name, names, or weights by name. ``margin`` is the chance given to the
    task less the chance given to the next best, from 0 to 1.
    """

    task: str
    margin: float = 1.0
    selection: Selection = None


def _no_parts(kind: str, name: str) -> type[Any]:
    raise LookupError(f"no registry was given to load {kind} {name!r} from")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The learning of one position in the sequence, as a strategy is told of it.

    ``position`` counts from 1. ``tasks`` are learnt in this stage (one, but for joint learning), ``previous_tasks``
    were learnt before, in order. ``rng`` is the only source of randomness, ``seed`` the run's. ``batch_size`` is how
    many examples the model reads or answers together outside a step, and ``autocast()`` computes there in a step's
    number format. ``load_part`` returns the class of a registered part ("routers", "ridge").
    """

    position: int
    tasks: Sequence[Task]
    previous_tasks: Sequence[Task] = ()
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    seed: int = 0
    batch_size: int = 32
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    load_part: PartLoader = _no_parts

    @property
    def modalities(self) -> frozenset[str]:
        """The modalities of the tasks that are learnt."""
        return frozenset(modality for task in self.tasks for modality in task.modalities)


class Strategy:
    """Learn each task in turn, and do nothing against forgetting.

    Every method is one place where a strategy may depart from that; they are called in the order in which they stand
    here. Options are keyword-only constructor parameters annotated with ``Annotated[type, "help"]``, kept as
    attributes of the same name; they may be set anew for a stage (``-o 3:lambda_kl 0.5``). ``needs`` names what the
    backbone must provide.

    ``stage`` is the stage in which the strategy stands. ``modules`` holds trainable modules of its own (gates, keys,
    scalars): they are moved, saved, restored, counted, and part of the best weights like an adapter's. Modules that
    ``begin`` adds must be added by ``restore`` too; their values are loaded after it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"adapters"})
    stage: Stage

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.modules = nn.ModuleDict()

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        """Return the tasks in the order and the groups in which they are learnt: one at a time."""
        return [[task] for task in tasks]

    def enter(self, stage: Stage, options: Mapping[str, Any]) -> None:
        """Stand in a stage from now on, with the options that hold in it: also where a run is resumed."""
        self.stage = stage
        for name, value in options.items():
            setattr(self, name, value)

    def begin(self, stage: Stage) -> None:
        """Begin a stage: add an adapter, freeze what is old, keep a teacher.

        Where a run goes on, the selection that acts is restored by name; activate a Mixture again in ``restore``.
        """
        if ADAPTER not in self.backbone.adapters.names:
            self.backbone.adapters.add(ADAPTER, seed=stage.seed)
        self.backbone.adapters.activate(ADAPTER)

    def before(self, stage: Stage) -> Iterator[Progress]:
        """Pass over data before learning: statistics, pseudo targets, anchors. Yields its progress.

        Where the process is killed it begins anew; what it finds belongs into ``state`` or an adapter.
        """
        yield from ()

    def examples(self, stage: Stage) -> Sequence[Example]:
        """Return what is learnt from in this stage."""
        return [example for task in stage.tasks for example in task.examples("train")]

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights that move: learning adapters, with this stage's connectors only, and ``modules``."""
        yield from self.backbone.adapters.trainable(self.stage.modalities).items()
        yield from ((f"modules/{name}", weight) for name, weight in self.modules.named_parameters())

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Return the drawn examples as a batch; what a strategy adds to them joins here, in groups of its own."""
        return self.backbone.batch(examples)

    def loss(self, batch: Batch) -> Loss:
        """Return what is minimised: a mean over the answer tokens of the batch, or its terms by name."""
        return self.backbone.loss(batch)

    def constrain(self) -> None:
        """Project or mask the gradients, once they are there and before they are used."""

    def step_end(self, step: int) -> None:
        """Act after optimiser step ``step`` (from 1) of a stage."""

    def epoch_end(self) -> None:
        """Act after each pass over the examples, and before validation."""

    def end(self, stage: Stage) -> None:
        """End learning, with the best weights in place: remember, merge, let a teacher go."""

    def after(self, stage: Stage) -> Iterator[Progress]:
        """Pass over data after learning: importance, statistics, a router. Yields its progress.

        What was learnt is on disk then; where the process is killed the pass begins anew.
        """
        yield from ()

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        """Choose who answers each example; None: the selection that acts. The task is not told."""
        return None

    @property
    def routed_by(self) -> tuple[str, int]:
        """What chooses in ``route``, and how many times the language model reads each query for that."""
        return "", 0

    def state(self) -> State:
        """Return what must be kept to go on, besides adapters and ``modules``."""
        return State()

    def restore(self, state: State) -> None:
        """Take back what ``state`` returned; the strategy stands in the stage already."""
