"""Plain records that the store reads and writes, and that reports are made from.

Times are UTC in ISO format with seconds ("2026-03-01T12:00:00Z"), or empty if the event has not happened yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A prepared task with its folder (``path``), number of examples by split, and time of preparation (``prepared``).

    ``modalities`` are those of its media, sorted; empty for text alone. ``sha256`` covers the manifest and all media,
    so that changed data is detected.
    """

    name: str
    modalities: tuple[str, ...]
    type: str
    metric: str
    sha256: str
    counts: Mapping[str, int]
    path: str
    prepared: str = ""


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """A plugin that a run used, with the distribution and version that provided it."""

    kind: str
    name: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to start. ``id`` is the fingerprint of its plan, ``parent`` the run that it continues.

    ``recipe`` describes the recipe that it is started with; None keeps that of an existing run.
    """

    id: str
    plan: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    parent: str | None = None
    plugins: tuple[PluginRecord, ...] = ()
    recipe: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run. ``status`` is "running", "finished", "interrupted" or "failed"; ``started`` is its latest start time.

    If the process of a run was killed, its status is still "running". If its row cannot be read, its status is
    "damaged", ``error`` says why, and its plan is empty. ``environment`` is that of the latest start. ``recipe`` holds
    the name, sha256 and citation of the recipe that the run was started with; None without one. ``tags`` are words that
    the user gave to the run, sorted.
    """

    id: str
    parent: str | None
    name: str
    plan: Mapping[str, Any]
    environment: Mapping[str, Any]
    status: str
    started: str
    finished: str
    error: str
    recipe: Mapping[str, Any] | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EnvironmentRecord:
    """The environment in which a run was learnt from ``step`` of stage ``position`` on.

    With ``purpose`` "scoring", it is the environment in which stages from ``position`` on were scored again. A record
    is made when a run starts and when it is continued in another environment; the store sets ``number``, from 1.
    """

    number: int = 0
    purpose: Literal["learning", "scoring"] = "learning"
    position: int = 1
    step: int = 0
    started: str = ""
    environment: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """A stage of a run: the tasks that are learnt in it, and its cost.

    ``position`` counts from 1; ``status`` is "running", "learned", "interrupted" or "failed". ``seconds`` is the
    learning time, ``before_seconds`` and ``after_seconds`` are those of the passes over data around it. ``peak_bytes``
    is the peak memory use, ``stored_bytes`` the size of the checkpoint on disk. ``checkpoint`` is its path relative to
    the run's folder, empty until the stage is learnt.
    """

    position: int
    tasks: tuple[str, ...]
    data_sha256: tuple[str, ...] = ()
    status: str
    steps: int
    examples: int
    before_seconds: float = 0.0
    seconds: float
    after_seconds: float = 0.0
    peak_bytes: int
    trainable_parameters: int
    stored_bytes: int
    checkpoint: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """The score of ``task`` by ``metric`` on ``n`` examples of ``split`` after stage ``after`` (0: before learning).

    ``value`` is x100, or None if it was not finite. ``main`` marks the task's own metric, whose scores form the R
    matrix. ``cut`` of the answers had no end within the maximum length; None if that is not known. ``version`` is that
    of the metric, None if an earlier version of micl made the score; ``prompts`` and ``scorer`` are the variants of the
    task, ``missing`` the number of missing answers, and ``figures`` further figures (x100) by name.
    """

    after: int
    task: str
    metric: str
    value: float | None
    n: int
    split: str = "test"
    main: bool = True
    cut: int | None = None
    version: int | None = None
    prompts: str = ""
    scorer: str = ""
    missing: int = 0
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def cut_share(self) -> float | None:
        """The share of cut answers in per cent, or None if it is not known."""
        return None if self.cut is None or not self.n else 100 * self.cut / self.n


@dataclass(frozen=True, kw_only=True)
class RoutingRecord:
    """The routing of the ``n`` examples of ``task`` after a stage; ``chosen`` counts them by predicted task.

    ``unsure`` of them had a small margin. Routing took ``seconds`` in total, and ``passes`` of the language model for
    each query.
    """

    after: int
    task: str
    split: str = "test"
    router: str
    n: int
    chosen: Mapping[str, int]
    unsure: int
    seconds: float
    passes: int = 0


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimiser step. ``terms`` holds the terms of the loss by name. Values that were not finite are None."""

    position: int
    step: int
    epoch: int
    loss: float | None
    lr: float
    seconds: float
    terms: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ValidationRecord:
    """A validation at ``step`` of stage ``position``: a score x100 or, with ``criterion`` "loss", a loss in nats.

    ``final`` is the validation of what the strategy made of the best weights when learning ended.
    """

    position: int
    step: int
    epoch: int
    value: float
    best: bool
    criterion: str = "score"
    final: bool = False


class PredictionRecord(NamedTuple):
    """The answer to one example, with its references and its score (x100) by the task's own metric.

    The score is None if it was not finite, or if an earlier version of micl stored the answer. ``missing`` is whether
    there is no answer.
    """

    example: str
    answer: str
    references: tuple[str, ...] = ()
    score: float | None = None
    missing: bool = False


class PredictionSet(NamedTuple):
    """The number of stored answers to a split of a task after a stage."""

    after: int
    task: str
    split: str
    answers: int


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """A run with its plugins, stages by position, scores and routings by stage and task, and validations.

    ``environments`` are those in which it was learnt and scored, in the order of their start.
    """

    run: RunRecord
    plugins: tuple[PluginRecord, ...]
    stages: tuple[StageRecord, ...]
    scores: tuple[ScoreRecord, ...]
    routings: tuple[RoutingRecord, ...] = ()
    validations: tuple[ValidationRecord, ...] = ()
    environments: tuple[EnvironmentRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StoreCheck:
    """The state of a store: "ok", "missing", "outdated", "newer" or "damaged".

    ``revision`` is the schema of the store, ``expected`` that of this program; ``problems`` lists inconsistencies that
    the database reports.
    """

    location: str
    state: str
    revision: str | None
    expected: str
    runs: int = 0
    tasks: int = 0
    problems: tuple[str, ...] = ()

    @property
    def has_runs(self) -> bool:
        """Whether runs can be looked up without an upgrade; of a damaged store, those that are intact."""
        return self.state in ("ok", "damaged")
