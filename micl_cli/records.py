"""Plain values that the store takes and returns, and that reports are made from.

Times are UTC in ISO form with seconds ("2026-03-01T12:00:00Z"); an empty string means that the moment has not come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A prepared task: ``path`` is its folder, ``counts`` its examples by split, ``prepared`` the time of preparation.

    ``modalities`` are those of its media, in alphabetical order; empty for text alone. ``sha256`` covers the manifest
    and all media, so that a later run detects changed data.
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
    """A run about to start. ``id`` is the fingerprint of its plan, ``parent`` the run that it continues."""

    id: str
    plan: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    parent: str | None = None
    plugins: tuple[PluginRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run. ``status`` is "running", "finished", "interrupted" or "failed"; ``started`` is its latest start.

    A run whose process was killed keeps the status "running".
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
    """One stage of a run: the tasks learnt together, and what that cost.

    ``position`` counts from 1; ``status`` is "running", "learned", "interrupted" or "failed". ``seconds`` is the time
    of learning, ``before_seconds`` and ``after_seconds`` that of the passes over data around it. ``peak_bytes`` is the
    highest memory use, ``stored_bytes`` the size of the checkpoint on disk. ``checkpoint`` is its path below the run's
    folder, empty until the stage is learnt.
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

    ``value`` is x100, None where the metric returned no finite number. ``main`` marks the task's own metric, the one
    that stands in the R matrix.
    """

    after: int
    task: str
    metric: str
    value: float | None
    n: int
    split: str = "test"
    main: bool = True


@dataclass(frozen=True, kw_only=True)
class RoutingRecord:
    """How the ``n`` examples of ``task`` were routed after a stage: ``chosen`` counts them by task taken for.

    ``unsure`` of them had a small margin. Routing took ``seconds`` in all, and ``passes`` of the language model per
    query.
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
    """One optimiser step. ``terms`` are those of the loss by name; a number that was not finite is None."""

    position: int
    step: int
    epoch: int
    loss: float | None
    lr: float
    seconds: float
    terms: Mapping[str, float | None] = field(default_factory=dict)


class PredictionRecord(NamedTuple):
    """The answer to one example, with its references."""

    example: str
    answer: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """A run with its plugins, its stages by position, and its scores and routings by stage and task."""

    run: RunRecord
    plugins: tuple[PluginRecord, ...]
    stages: tuple[StageRecord, ...]
    scores: tuple[ScoreRecord, ...]
    routings: tuple[RoutingRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StoreCheck:
    """The state of a store: "ok", "missing", "outdated", "newer" or "damaged".

    ``revision`` is the schema of the store, ``expected`` the one of this program; ``problems`` lists what the
    database reports as inconsistent.
    """

    location: str
    state: str
    revision: str | None
    expected: str
    runs: int = 0
    tasks: int = 0
    problems: tuple[str, ...] = ()
