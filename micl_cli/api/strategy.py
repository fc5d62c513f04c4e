"""Strategies: methods against forgetting."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from micl_cli.api.backbone import Backbone, Batch
from micl_cli.api.metric import Metric
from micl_cli.api.resources import PartLoader
from micl_cli.api.schedule import Schedule
from micl_cli.api.selection import Selection
from micl_cli.api.task import Example, Task

ADAPTER = "main"
"""The name of the adapter of strategies with a single one."""

Loss = Tensor | Mapping[str, Tensor]
"""A scalar, or its terms by name, which are summed. Each is a mean over its ``population``, or a constant penalty."""
WHOLE_LOSS = "loss"
"""The name by which ``population`` is asked about a loss without terms."""
NEW = "new"
"""The group of the drawn examples in ``step_examples``."""


@dataclass
class State:
    """The state of a strategy or router that checkpoints hold: ``tensors`` by name, and JSON-ready ``data``."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


class Progress(NamedTuple):
    """The progress of a pass over data: ``done`` of ``total`` (None if unknown), and a ``label`` for what it does.

    ``note`` is a message for the user about the pass, which is shown as a notice.
    """

    done: int
    total: int | None = None
    label: str = ""
    note: str = ""


class Route(NamedTuple):
    """The route of one example: the predicted task, the margin of the prediction, and the adapters that answer.

    ``selection`` is None (the base model), a name, names, or weights by name. ``margin`` is the probability of the
    predicted task minus that of the second most probable one, from 0 to 1. ``task`` is "base" where no task learnt has
    the modalities of the example.
    """

    task: str
    margin: float = 1.0
    selection: Selection = None


def _no_parts(kind: str, name: str) -> type[Any]:
    raise LookupError(f"no registry to load {name!r} from {kind}: pass load_part to Stage")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The learning of one position in the sequence: the context that is passed to a strategy.

    ``position`` counts from 1. ``tasks`` are learnt in this stage (one, except in joint learning), ``previous_tasks``
    were learnt before, in order. ``rng`` is the only source of randomness, ``seed`` is that of the run. Outside
    training steps, ``batch_size`` is the number of examples to process at once, and ``autocast()`` a context that
    computes in the number format of training. ``load_part`` returns a registered class ("routers", "ridge").
    ``metrics`` holds the metrics of the run's tasks by name, after their ``setup``.
    """

    position: int
    tasks: Sequence[Task]
    previous_tasks: Sequence[Task] = ()
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    seed: int = 0
    batch_size: int = 32
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    load_part: PartLoader = _no_parts
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def modalities(self) -> frozenset[str]:
        """The modalities of the stage's tasks."""
        return frozenset(modality for task in self.tasks for modality in task.modalities)


class Strategy:
    """Sequential fine-tuning: learn each task in turn, and do nothing against forgetting.

    A strategy overrides the methods in which it differs from that; they are called in the order in which they are
    defined here. Options are keyword-only constructor parameters annotated with ``Annotated[type, "help"]`` and stored
    as attributes of the same name, followed by an underscore if a method has that name (see ``attribute_of``); they
    may be changed for a single stage (``-o 3:lambda_kl 0.5``). ``needs`` names the capabilities that the backbone must
    provide. ``knows_task`` states that ``route`` reads the task of an example, or predicts none, so that no routing
    accuracy is reported. ``routes_validation`` states that ``route`` knows the stage's tasks before they are learnt, so
    that validation is routed too.

    ``stage`` is the current stage, and ``schedule`` holds its steps and their learning rates once its examples are
    known, so not in ``begin`` and ``before``. ``modules`` holds the strategy's own trainable modules (gates, keys,
    scalars), which are moved, saved, restored, counted and included in the best weights like those of an adapter.
    Modules that ``begin`` adds must be added by ``restore`` too; their values are loaded after it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"adapters"})
    knows_task: ClassVar[bool] = False
    routes_validation: ClassVar[bool] = False
    stage: Stage
    schedule: Schedule = Schedule()

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.modules = nn.ModuleDict()

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        """Return the tasks grouped by stage, in the order of learning. The default is one task in each stage."""
        return [[task] for task in tasks]

    def enter(self, stage: Stage, options: Mapping[str, Any]) -> None:
        """Set the current stage and the options that apply in it. Called before ``begin``, and also on resuming."""
        self.stage = stage
        for name, value in options.items():
            setattr(self, attribute_of(type(self), name), value)

    def begin(self, stage: Stage) -> None:
        """Prepare a stage: add an adapter, freeze old weights, keep a teacher.

        On resuming, the active selection is restored by name instead; activate a Mixture again in ``restore``.
        """
        if ADAPTER not in self.backbone.adapters.names:
            self.backbone.adapters.add(ADAPTER, seed=stage.seed)
        self.backbone.adapters.activate(ADAPTER)

    def before(self, stage: Stage) -> Iterator[Progress]:
        """Make a pass over data before learning, for statistics, pseudo targets or anchors. Yields progress.

        The pass starts again if the process is killed. Its results belong in ``state`` or in an adapter.
        """
        yield from ()

    def examples(self, stage: Stage) -> Sequence[Example]:
        """Return the training examples of this stage."""
        return [example for task in stage.tasks for example in task.examples("train")]

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights to train: adapters, with connectors only of the stage's modalities, and ``modules``."""
        yield from self.backbone.adapters.trainable(self.stage.modalities).items()
        yield from ((f"modules/{name}", weight) for name, weight in self.modules.named_parameters())

    def step_examples(self, examples: Sequence[Example]) -> Mapping[str, Sequence[Example]]:
        """Return the examples of one optimiser step by group: the drawn ones, and any that the strategy adds.

        Called once per optimiser step, with all examples drawn for it, so that neither the number of added examples nor
        the random numbers depend on how the step is split into batches (``batch_size`` and ``accumulation``).
        """
        return {NEW: examples}

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Return the examples of one optimiser step as a batch with the groups of ``step_examples``.

        Where a step has several batches, their examples are taken from the groups in equal shares. An override is
        called once per optimiser step too, and is split in the same way; override ``step_examples`` to save the work of
        building the batch twice.
        """
        return self.backbone.batch(*joined(self.step_examples(examples)))

    def loss(self, batch: Batch) -> Loss:
        """Return the loss to minimise, or its terms by name, on one batch.

        The loss, or each term, is a mean over its ``population`` in the batch, or does not depend on the examples
        (a penalty on the weights). It may be called several times per optimiser step: draw random numbers and update
        state in ``step_examples`` and ``step_end`` instead.
        """
        return self.backbone.loss(batch)

    def population(self, term: str, batch: Batch) -> int:
        """Return the number of items over which ``loss``, or one of its terms, is a mean in ``batch``.

        The batches of a step are weighed by it, so that loss and gradient are the same for all splits of a step. The
        default is the number of answer tokens, which is also right for a penalty on the weights. Override it for a term
        that is a mean over the answer tokens of a group (``int(batch.positions(group).sum())``) or over examples
        (``len(batch)``). A loss without terms is asked for as "loss".
        """
        return len(batch.example_index)

    def constrain(self) -> None:
        """Project or mask the gradients, before clipping and the optimiser step."""

    def step_end(self, step: int) -> None:
        """Run after optimiser step ``step`` (from 1) of a stage."""

    def epoch_end(self) -> None:
        """Run after each whole pass over the examples, before validation: not after one that ``--max-steps`` cuts off.

        If it changes the trained weights or the active selection, a validation follows, whatever ``--validate-every``.
        """

    @property
    def acts_at_epoch_end(self) -> bool:
        """Whether ``epoch_end`` has an effect in this stage; the user is told where a stage ends within an epoch."""
        return type(self).epoch_end is not Strategy.epoch_end

    def end(self, stage: Stage) -> None:
        """Finish learning, with the best weights restored: store examples, merge adapters, remove a teacher.

        If this, or ``after``, changes the trained weights or the active selection, the result is validated.
        """

    def after(self, stage: Stage) -> Iterator[Progress]:
        """Make a pass over data after learning, for importance, statistics or a router. Yields progress.

        The learnt weights are already on disk. The pass starts again if the process is killed.
        """
        yield from ()

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        """Return a route for each example, without knowing its task, or None to use the active selection."""
        return None

    def answers(self, examples: Sequence[Example]) -> Sequence[str] | None:
        """Return an answer to each example of a task without the backbone, or None to let the backbone answer.

        This is for baselines without a model. An example with choices must be answered by one of them.
        """
        return None

    @property
    def routed_by(self) -> tuple[str, int]:
        """The name of the router behind ``route``, and its passes of the language model for each query."""
        return "", 0

    @property
    def task_adapters(self) -> Mapping[str, str]:
        """The adapter that answers each task learnt, if ``route`` selects one adapter for each example.

        Models of strategies that route can be exported only with it. It is empty for other strategies.
        """
        return {}

    def routing_state(self) -> State:
        """Return what ``route`` needs of ``state``, for an export that others receive: no training examples."""
        return self.state()

    def state(self) -> State:
        """Return the state that a resumed run needs, besides adapters and ``modules``."""
        return State()

    def restore(self, state: State) -> None:
        """Restore what ``state`` returned. The strategy has already entered the stage."""


def attribute_of(strategy: type[Strategy], option: str) -> str:
    """Return the name of the attribute that holds an option: its own, or "loss_" for an option with a method's name."""
    return f"{option}_" if callable(getattr(strategy, option, None)) else option


def joined(groups: Mapping[str, Sequence[Example]]) -> tuple[list[Example], dict[str, Sequence[int]]]:
    """Return the examples of all groups one after another, and the indices of each group."""
    members: list[Example] = []
    indices: dict[str, Sequence[int]] = {}
    for name, examples in groups.items():
        indices[name] = range(len(members), len(members) + len(examples))
        members += examples
    return members, indices
