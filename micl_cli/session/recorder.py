"""Recording of the events of a run in the store, and the data of a stored run for reports."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.api.events import Event, PassProgress, RunFinished, RunStarted, Step, TaskStarted
from micl_cli.api.task import Task
from micl_cli.plan import BackboneName, Plan
from micl_cli.records import EnvironmentRecord, NewRun, PluginRecord, RunDetails, TaskRecord
from micl_cli.registry import Registry
from micl_cli.report.data import RunData, merged_environment, score_matrix

if TYPE_CHECKING:
    from micl_cli.store import Store

STORE_SECONDS = 1.0
"""Seconds between writes of steps, so that fast steps do not wait for the disk."""


class Recorder:
    """Writes the events of a run to the store (steps in batches), and the environment at the point where it starts."""

    def __init__(self, store: Store, run: str, environment: Mapping[str, Any] | None = None) -> None:
        self.store, self.run, self.environment = store, run, environment
        self.ended = False
        self._resumed_from: tuple[int, int] | None = None
        self._pending: list[Event] = []
        self._written = time.monotonic()

    def take(self, event: Event) -> None:
        """Record an event: steps and progress are written every STORE_SECONDS, all others at once."""
        if isinstance(event, RunStarted):
            self._resumed_from = event.resumed_from
            self._record_environment(*event.resumed_from or (1, 0))
        if isinstance(event, TaskStarted):
            self._discard_repeated(event.position)
        self._pending.append(event)
        if not isinstance(event, Step | PassProgress) or time.monotonic() - self._written >= STORE_SECONDS:
            self.flush()
        if isinstance(event, RunFinished):
            self.end(event.status)

    def end(self, status: str, error: str = "") -> None:
        """Write pending events and the status of the run at its end."""
        self.ended = True
        self.flush()
        self.store.end_run(self.run, status, error)

    def flush(self) -> None:
        """Write pending events."""
        self.store.write(self.run, self._pending)
        self._pending = []
        self._written = time.monotonic()

    def _record_environment(self, position: int, step: int) -> None:
        if self.environment is not None:
            record = EnvironmentRecord(position=position, step=step, environment=self.environment)
            self.store.record_environment(self.run, record)

    def _discard_repeated(self, position: int) -> None:
        """Delete the stored steps of a stage beyond the checkpoint from which it is learnt now."""
        stage, step = self._resumed_from or (0, 0)
        self.store.discard_after(self.run, position, step if stage == position else 0)


def new_run(
    plan: Plan, environment: Mapping[str, Any], registry: Registry, recipe: Mapping[str, Any] | None = None
) -> NewRun:
    """Return the record for starting or resuming a run; ``recipe`` holds name, sha256 and citation of its recipe."""
    named = [("strategies", plan.strategy), ("backbones", BackboneName.parse(plan.backbone, registry).name)]
    parts = [registry.find(kind, name) for kind, name in named]
    plugins = [PluginRecord(kind=p.kind, name=p.name, distribution=p.distribution, version=p.version) for p in parts]
    return NewRun(
        id=plan.id,
        plan=plan.as_json(),
        environment=environment,
        name=plan.name,
        parent=plan.parent,
        plugins=tuple(plugins),
        recipe=recipe,
    )


def task_record(task: Task, folder: Path) -> TaskRecord:
    """Return the record of a task that is prepared in ``folder``."""
    return TaskRecord(
        name=task.name,
        modalities=tuple(sorted(task.modalities)),
        type=task.type,
        metric=task.metric,
        sha256=task.sha256,
        counts=task.counts,
        path=str(folder),
    )


def run_data(details: RunDetails, split: str | None = None) -> RunData:
    """Return the data of a run for a report on ``split``, by default the evaluation split of its plan."""
    plan = Plan.from_json(details.run.plan)
    split = split or plan.evaluation.split
    matrix, zero_shot = score_matrix(plan.tasks, details.stages, details.scores, split)
    environments = details.environments or (EnvironmentRecord(environment=details.run.environment),)
    return RunData(
        id=details.run.id,
        name=details.run.name,
        strategy=plan.strategy,
        backbone=plan.backbone,
        seed=plan.seed,
        status=details.run.status,
        tasks=plan.tasks,
        matrix=matrix,
        zero_shot=zero_shot,
        stages=details.stages,
        scores=details.scores,
        routings=details.routings,
        settings=settings_of(plan),
        data=plan.data,
        split=split,
        weights_bytes=int(details.run.environment.get("weights_bytes", 0)),
        environment=merged_environment([each.environment for each in environments]),
        environments=environments,
        validations=details.validations,
        plan=plan.as_json(),
        recipe={name: f"{value}" for name, value in (details.run.recipe or {}).items() if value is not None},
    )


def settings_of(plan: Plan) -> dict[str, str]:
    """Return the settings of a plan as text by dotted name, without tasks, seed, attempt and names.

    Options of the strategy have no prefix, or "2." if they apply to one stage only.
    """
    plan_json = plan.as_json()
    sections = {
        "": plan_json["strategy_options"],
        **plan_json["stage_options"],
        "backbone": {**plan_json["backbone_options"], "digest": plan_json["backbone_digest"]},
        "training": plan_json["training"],
        "evaluation": plan_json["evaluation"],
    }
    return {
        f"{section}.{name}".lstrip("."): value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for section, settings in sections.items()
        for name, value in settings.items()
    }
