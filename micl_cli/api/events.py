"""What happens during a run, as values: ``learn`` yields them; store, screen and listeners consume them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened. ``name`` is its word in JSON lines (key "event")."""

    name: ClassVar[str] = "event"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields, the event's name first."""
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins, or goes on from ``resumed_from`` (position, step). ``plan`` is its plan as JSON-ready data."""

    name = "run_started"
    run: str
    tasks: list[str]
    strategy: str
    backbone: str
    seed: int
    resumed_from: tuple[int, int] | None = None
    plan: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskStarted(Event):
    """Stage ``position`` (1-based) begins; ``tasks`` has several entries for joint learning."""

    name = "task_started"
    position: int
    tasks: list[str]
    examples: int
    steps_planned: int
    trainable_parameters: int


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """One optimiser step. ``terms`` are those of the loss by name; ``seconds`` is its wall time."""

    name = "step"
    position: int
    step: int
    epoch: int
    loss: float
    lr: float
    seconds: float
    terms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """The validation score (x100) at ``step``; ``best`` tells whether it is the best so far."""

    name = "validated"
    position: int
    step: int
    epoch: int
    value: float
    best: bool


@dataclass(frozen=True, kw_only=True)
class PassProgress(Event):
    """How far a pass over data "before" or "after" learning is: ``done`` of ``total`` (None where unknown)."""

    name = "pass_progress"
    position: int
    when: str
    done: int
    total: int | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskLearned(Event):
    """Stage ``position`` is learnt and ``checkpoint`` (a path below the run's folder) is on disk.

    ``seconds`` is the time of learning, ``before_seconds`` and ``after_seconds`` that of the passes around it.
    """

    name = "task_learned"
    position: int
    tasks: list[str]
    data_sha256: list[str]
    steps: int
    examples: int
    seconds: float
    peak_bytes: int
    trainable_parameters: int
    stored_bytes: int
    checkpoint: str
    before_seconds: float = 0.0
    after_seconds: float = 0.0
    restored: bool = False


@dataclass(frozen=True, kw_only=True)
class Scored(Event):
    """``task`` was scored by ``metric`` on ``n`` examples of ``split`` after stage ``after``.

    ``after`` 0 is before any learning (zero-shot). ``value`` is x100. ``main`` marks the
    task's own metric, the one that stands in the R matrix.
    """

    name = "scored"
    after: int
    task: str
    metric: str
    value: float
    n: int
    split: str = "test"
    main: bool = True
    seconds: float = 0.0
    restored: bool = False


CHOICES = "choices"
"""The name of the score by the likeliest of a closed set of answers, beside that of what is generated."""
UNSURE = 0.2
"""A smaller margin of a routing counts as unsure: as where one of two tasks is given less than 0.6."""


@dataclass(frozen=True, kw_only=True)
class Routed(Event):
    """Where ``router`` sent the ``n`` examples of ``task``: ``chosen`` counts them by the task they were taken for.

    ``unsure`` of them had a margin below :data:`UNSURE`; choosing took ``seconds``,
    and ``passes`` of the language model a query.
    """

    name = "routed"
    after: int
    task: str
    router: str
    n: int
    chosen: dict[str, int]
    unsure: int
    seconds: float
    passes: int = 0
    split: str = "test"
    restored: bool = False


@dataclass(frozen=True, kw_only=True)
class Answered(Event):
    """The answers behind a score, where asked for: rows of (example id, answer, references)."""

    name = "answered"
    after: int
    task: str
    split: str
    rows: list[tuple[str, str, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something the user should read: a changed version, a refused example."""

    name = "notice"
    text: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """The run ended as ``status``: "finished", and for listeners also "interrupted" or "failed"."""

    name = "run_finished"
    run: str
    status: str
    seconds: float
