"""Estimates of the steps, scores and time of a plan, before anything is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from micl_cli.errors import StoreError
from micl_cli.plan import Plan
from micl_cli.records import RunRecord, StageRecord
from micl_cli.store import Store

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

_RECENT_RUNS, _MEASURED_RUNS = 50, 5
"""The number of runs that are looked at, and the largest number of those alike whose time is used."""


@dataclass(frozen=True)
class StageEstimate:
    """The size of a stage: its tasks, training examples and steps, and the number of answers scored after it."""

    position: int
    tasks: tuple[str, ...]
    examples: int
    steps: int
    scored: int


@dataclass(frozen=True)
class RunEstimate:
    """The size of a run. ``step_seconds`` is the mean time of a step in recent runs, or None if there is none.

    ``notes`` are messages for the user about how the components fit.
    """

    stages: tuple[StageEstimate, ...]
    trainable: int
    step_seconds: float | None = None
    status: str = ""
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """The number of steps without early stopping."""
        return sum(stage.steps for stage in self.stages)

    @property
    def duration(self) -> str:
        """The estimated learning time as text."""
        if self.step_seconds is None:
            return "no time estimate: no earlier run of this strategy and backbone"
        return f"about {self.steps * self.step_seconds:.0f} s of learning, based on recent runs"

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        totals = {"steps": self.steps, "trainable_parameters": self.trainable, "step_seconds": self.step_seconds}
        return {**totals, "stages": [asdict(stage) for stage in self.stages], "notes": list(self.notes)}


def estimate_run(components: RunComponents) -> RunEstimate:
    """Return the size of a run. An adapter is added to the backbone to count the trainable parameters."""
    from micl_cli.training.steps import planned_steps

    plan, stages = components.plan, []
    evaluation = plan.evaluation
    for position, stage in enumerate(components.stages, 1):
        learnt = [task for earlier in components.stages[:position] for task in earlier]
        tasks = components.tasks if evaluation.unseen else learnt
        scored = sum(_at_most(task.counts, evaluation.split, evaluation.examples) for task in tasks)
        examples = sum(task.counts.get("train", 0) for task in stage)
        steps = planned_steps(plan.training, examples, len(stage))
        stages.append(StageEstimate(position, tuple(task.name for task in stage), examples, steps, scored))
    return RunEstimate(tuple(stages), _trainable_parameters(components), notes=tuple(components.notes))


def _trainable_parameters(components: RunComponents) -> int:
    adapters = components.backbone.adapters
    adapters.add("estimate")
    adapters.activate("estimate")
    modalities = {modality for task in components.tasks for modality in task.modalities}
    return sum(weight.numel() for weight in adapters.trainable(modalities).values())


def step_seconds(plan: Plan, store: Store) -> float | None:
    """Return the mean time of a step over recent runs of the same strategy and backbone, or None if there are none."""
    alike = islice((run for run in store.runs(_RECENT_RUNS) if _is_like(plan, run)), _MEASURED_RUNS)
    stages = [stage for run in alike for stage in _learnt_stages(run, store)]
    steps = sum(stage.steps for stage in stages)
    return sum(stage.seconds for stage in stages) / steps if steps else None


def _is_like(plan: Plan, run: RunRecord) -> bool:
    return (run.plan.get("strategy"), run.plan.get("backbone")) == (plan.strategy, plan.backbone)


def _learnt_stages(run: RunRecord, store: Store) -> Sequence[StageRecord]:
    with suppress(StoreError):  # a damaged run is no basis
        return store.details(run.id).stages
    return ()


def _at_most(counts: Mapping[str, int], split: str, limit: int | None) -> int:
    count = counts.get(split, 0)
    return count if limit is None else min(count, limit)
