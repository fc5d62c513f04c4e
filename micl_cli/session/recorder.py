"""A run as the store keeps it: events going in, and what a report is told coming out."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from micl_cli import __version__
from micl_cli.api.events import Event, RunFinished, RunStarted, Step
from micl_cli.data.preparation import Prepared
from micl_cli.plan import BackboneName, Plan
from micl_cli.registry import Registry
from micl_cli.report.data import RunData, ScoreRow, StageCost, score_matrix
from micl_cli.report.routing import RoutingRow
from micl_cli.store import NewRun, PluginRecord, RunDetails, Store, TaskRecord

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

_T = TypeVar("_T")

STORE_SECONDS = 1.0
"""Steps reach the store together, so that a fast loop does not wait for the disk."""


class Recorder:
    """Writes a run's events to the store, steps in bundles."""

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self.ended = False
        self._waiting: list[Event] = []
        self._written = time.monotonic()

    def take(self, event: Event) -> None:
        """Take an event in, and write what waits where it is time."""
        if isinstance(event, RunStarted) and event.resumed_from:
            self.store.discard_after(self.run, *event.resumed_from)
        self._waiting.append(event)
        if not isinstance(event, Step) or time.monotonic() - self._written >= STORE_SECONDS:
            self.flush()
        if isinstance(event, RunFinished):
            self.end(event.status)

    def end(self, status: str, error: str = "") -> None:
        """Write what waits, and how the run ended."""
        self.ended = True
        self.flush()
        self.store.end_run(self.run, status, error)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        self.store.write(self.run, waiting)
        self._written = time.monotonic()


def new_run(plan: Plan, environment: Mapping[str, Any], registry: Registry) -> NewRun:
    """The row of a run that begins or goes on."""
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
    )


def environment_of(parts: RunComponents) -> dict[str, Any]:
    """What may explain a difference between two runs of one plan."""
    import torch

    device = parts.accelerator.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    libraries = {name: version(name) for name in ("torch", "transformers", "peft", "accelerate")}
    return {
        "micl": __version__,
        "python": platform.python_version(),
        **libraries,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": gpu or device.type,
        "precision": parts.accelerator.mixed_precision,
        "threads": torch.get_num_threads(),
        "weights_bytes": _weight_bytes(parts.backbone.module),
    }


def _weight_bytes(module: Any) -> int:
    """What the base model's weights take in memory, as they are kept; adapters come later."""
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each thing that a resumed run finds changed."""
    return [
        f"{key} was {before[key]} when this run began and is {value} now: results may differ slightly"
        for key, value in now.items()
        if key in before and before[key] != value
    ]


def task_record(prepared: Prepared) -> TaskRecord:
    """A prepared task as the store registers it."""
    task = prepared.task
    return TaskRecord(
        name=task.name,
        modality=task.modality,
        kind=task.kind,
        metric=task.metric,
        sha256=task.sha256,
        counts=task.counts,
        path=str(prepared.folder),
    )


def run_data(details: RunDetails, split: str | None = None) -> RunData:
    """A run as a report takes it; ``split`` None is the one that the run itself was scored on."""
    plan = Plan.from_json(details.run.plan)
    split = split or plan.evaluation.split
    costs, scores = _told(StageCost, details.stages), _told(ScoreRow, details.scores)
    routings = _told(RoutingRow, details.routings)
    matrix, zero_shot = score_matrix(plan.tasks, costs, scores, split)
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
        stages=costs,
        scores=scores,
        routings=routings,
        settings=settings_of(plan),
        data=plan.data,
        split=split,
        weights_bytes=int(details.run.environment.get("weights_bytes", 0)),
    )


def _told(cls: type[_T], records: Iterable[Any]) -> list[_T]:
    """What a report takes of the store's records: the fields of ``cls``, a dataclass."""
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    return [cls(**{name: getattr(record, name) for name in names}) for record in records]


def settings_of(plan: Plan) -> dict[str, str]:
    """How a plan learns and is scored, as text by dotted name; not what, by which seed, nor for which time.

    Options of the strategy stand by their own names, or by "2.name" where they hold for one stage.
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
