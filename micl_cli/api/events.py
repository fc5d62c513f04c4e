"""Events of a run: yielded by ``learn``, consumed by the store, the progress display and listeners."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from micl_cli.io.json_text import finite


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base class of events. ``name`` identifies the event in JSON lines (key "event")."""

    name: ClassVar[str] = "event"

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, starting with the name of the event; numbers that are not finite are None."""
        fields: dict[str, Any] = finite(asdict(self))
        return {"event": self.name, **fields}


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run starts, or resumes from ``resumed_from`` (position, step). ``plan`` is its plan as JSON-ready data."""

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
    """Stage ``position`` (1-based) starts; ``tasks`` has several entries in joint learning."""

    name = "task_started"
    position: int
    tasks: list[str]
    examples: int
    steps_planned: int
    trainable_parameters: int


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """One optimiser step. ``terms`` holds the terms of the loss by name; ``seconds`` is the wall time of the step."""

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
    """The validation score (x100) at ``step``; ``best`` is true if the weights are the best so far.

    Of equal scores, the latest is the best. With ``criterion`` "loss", ``value`` is the mean cross entropy in nats, and
    the lowest is the best: the metric gives all answers the same score. What a strategy makes of the best weights when
    learning ends (a fusion, a merge) is validated once more (``final``), and is never ``best``: it does not compete.
    """

    name = "validated"
    position: int
    step: int
    epoch: int
    value: float
    best: bool
    criterion: str = "score"
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class PassProgress(Event):
    """The progress of a pass over data "before" or "after" learning: ``done`` of ``total`` (None if unknown)."""

    name = "pass_progress"
    position: int
    when: str
    done: int
    total: int | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskLearned(Event):
    """Stage ``position`` is learnt, and ``checkpoint`` (a path relative to the run's folder) is on disk.

    ``seconds`` is the learning time, ``before_seconds`` and ``after_seconds`` are those of the passes around it.
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

    ``after`` is 0 before any learning (zero-shot). ``value`` is x100. ``main`` marks the
    task's own metric, whose scores form the R matrix. ``cut`` of the answers had no end within ``max_new_tokens``; it
    is None if that is not known. A value that is None, as scores in JSON that are not finite are,
    becomes NaN.

    ``version`` is that of the metric, None in scores of earlier versions of micl. ``prompts`` and ``scorer`` are the
    task's variants. ``missing`` is the number of missing answers, which count as wrong. ``figures`` holds further
    figures of the metric (x100) by name, such as the score of each category.
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
    cut: int | None = None
    restored: bool = False
    version: int | None = None
    prompts: str = ""
    scorer: str = ""
    missing: int = 0
    figures: dict[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is None:
            object.__setattr__(self, "value", math.nan)


CHOICES = "choices"
"""The metric name of scores for the most likely of a closed set of answers, reported beside generated answers."""
BASE = "base"
"""The predicted task of examples that the base model answers, since no task learnt has all of their modalities."""
UNSURE_MARGIN = 0.2
"""A route with a smaller margin counts as unsure: between two tasks, one with a probability below 0.6."""


@dataclass(frozen=True, kw_only=True)
class Routed(Event):
    """``router`` routed the ``n`` examples of ``task``; ``chosen`` counts them by predicted task.

    In it, :data:`BASE` counts those that the base model answered, since no task learnt has all of their modalities.

    ``unsure`` of them had a margin below :data:`UNSURE_MARGIN`. Routing took ``seconds``,
    and ``passes`` of the language model for each query.
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
    """The answers behind a score, if they are to be stored: rows of (example id, answer, references).

    ``scores`` holds the score of each row (x100) by the task's own metric; ``missing`` the ids of examples that have no
    answer.
    """

    name = "answered"
    after: int
    task: str
    split: str
    rows: list[tuple[str, str, tuple[str, ...]]]
    scores: list[float | None] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """A message for the user, such as a changed version or a skipped example."""

    name = "notice"
    text: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """The run ended with ``status`` "finished" or, for listeners only, "interrupted" or "failed"."""

    name = "run_finished"
    run: str
    status: str
    seconds: float
