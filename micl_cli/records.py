"""What the store takes and gives, as plain values.

Times are UTC in ISO form with seconds ("2026-03-01T12:00:00Z"); an empty text means not yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A prepared task. ``path`` is its folder, ``counts`` the examples by split, ``prepared`` when.

    ``sha256`` covers the manifest and all media: a later run compares it to find changed data.
    """

    name: str
    modality: str
    kind: str
    metric: str
    sha256: str
    counts: Mapping[str, int]
    path: str
    prepared: str = ""


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """A part that a run used, and the distribution and version that it came from."""

    kind: str
    name: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that is about to start. ``id`` is its plan's fingerprint, ``parent`` what it goes on from."""

    id: str
    plan: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    parent: str | None = None
    plugins: tuple[PluginRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run. ``status`` is "running", "finished", "interrupted" or "failed".

    A run whose process was killed stays "running". ``started`` is its latest start.
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


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage of a run: the tasks learnt together, and what it cost.

    ``position`` is 1-based; ``status`` is "running", "learned", "interrupted" or "failed";
    ``checkpoint`` is a path below the run's folder, empty until the stage is learnt.
    """

    position: int
    tasks: tuple[str, ...]
    data_sha256: tuple[str, ...]
    status: str
    steps: int
    examples: int
    seconds: float
    peak_bytes: int
    trainable_parameters: int
    stored_bytes: int
    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """A cell of the R matrix, or another metric beside it (``main`` False).

    ``value`` is x100; None where the metric gave no finite number.
    """

    after: int
    task: str
    metric: str
    value: float | None
    n: int
    split: str
    main: bool


@dataclass(frozen=True, kw_only=True)
class RoutingRecord:
    """Where the ``n`` examples of ``task`` were sent after a stage: ``chosen`` counts them by task.

    ``unsure`` of them had a small margin; choosing took ``seconds`` in all, and ``passes`` of the
    language model a query.
    """

    after: int
    task: str
    split: str
    router: str
    n: int
    chosen: Mapping[str, int]
    unsure: int
    seconds: float
    passes: int = 0


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimiser step of the series; ``loss`` is None where it was not finite."""

    position: int
    step: int
    epoch: int
    loss: float | None
    lr: float
    seconds: float
    parts: Mapping[str, float | None] = field(default_factory=dict)


class PredictionRecord(NamedTuple):
    """What was answered to one example, and what could have been: a row of the event Answered."""

    example: str
    answer: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """A run with its parts, its stages by position, its scores and routings by stage and task."""

    run: RunRecord
    plugins: tuple[PluginRecord, ...]
    stages: tuple[StageRecord, ...]
    scores: tuple[ScoreRecord, ...]
    routings: tuple[RoutingRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StoreCheck:
    """The state of a store: "ok", "missing", "outdated", "newer" or "damaged".

    ``revision`` is its schema's, ``expected`` this program's; ``problems`` is what the database
    itself reports as wrong.
    """

    location: str
    state: str
    revision: str | None
    expected: str
    runs: int = 0
    tasks: int = 0
    problems: tuple[str, ...] = ()
