"""A run's folder: finished stages, their scores, and the latest step of the one in work.

RUN/stages/02/      adapters.safetensors strategy.safetensors stage.json
RUN/scores/02.json  the scores after stage 2
RUN/step-2-140/     adapters, strategy, optimizer and best weights as safetensors, progress.json
RUN/lock            held by the process that works on the run
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from micl_cli.api.backbone import Backbone
from micl_cli.api.events import Routed, Scored, TaskLearned
from micl_cli.api.strategy import State
from micl_cli.api.task import Task
from micl_cli.errors import CheckpointError, PlanError
from micl_cli.io.files import whole_folder, write_json

_STEP = re.compile(r"step-(\d+)-(\d+)")


def _restored(row: Mapping[str, Any]) -> Scored | Routed:
    values = {**row, "restored": True}
    return Routed(**values) if values.pop("event", Scored.name) == Routed.name else Scored(**values)


@dataclass
class Snapshot:
    """The weights and memories at one moment. Adapter weights by "adapter/weight"."""

    adapters: dict[str, Tensor]
    strategy: State
    data: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)


class RunFolder:
    """Reads and writes one run's checkpoints; whatever it writes is there whole, or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # Finished stages

    def stage(self, position: int) -> Path:
        """The folder of a finished stage (1-based)."""
        return self.path / "stages" / f"{position:02d}"

    def has_stage(self, position: int) -> bool:
        """Whether a stage is finished."""
        return (self.stage(position) / "stage.json").is_file()

    def has_stages(self, count: int) -> bool:
        """Whether the first ``count`` stages are all there."""
        return all(self.has_stage(position) for position in range(1, count + 1))

    @property
    def begun(self) -> bool:
        """Whether anything was learnt here."""
        return (self.path / "stages").exists() or self.latest_step() is not None

    def finish_stage(self, position: int, snapshot: Snapshot) -> None:
        """Write a finished stage, then let go of its step checkpoints. Raises CheckpointError."""
        with whole_folder(self.stage(position)) as folder:
            _write(folder, snapshot, "stage.json")
        self.drop_steps()

    def load_stage(self, position: int) -> Snapshot:
        """A finished stage's weights and memories. Raises CheckpointError where it cannot be read."""
        return _read(self.stage(position), "stage.json")

    def stage_data(self, position: int) -> dict[str, Any]:
        """What stage.json holds: the TaskLearned event's fields."""
        data: dict[str, Any] = _json(self.stage(position) / "stage.json")
        return data

    def learned(self, position: int) -> TaskLearned:
        """The event of a finished stage, as restored."""
        return TaskLearned(**{**self.stage_data(position)["learned"], "restored": True})

    def inherit(self, parent: RunFolder, stages: Sequence[Sequence[Task]]) -> None:
        """Take over the finished stages of the run that this one goes on from, and their scores.

        Raises PlanError where they are not the first of ``stages``, CheckpointError where they are gone.
        """
        if not self.has_stage(1):
            if not parent.has_stage(1):
                hint = "Put its folder back, or learn all tasks in a new run."
                raise CheckpointError(f"run {parent.path.name} has no checkpoints in {parent.path}", hint)
            _check_same(parent, stages)
            _copy(parent.path / "stages", self.path / "stages")
        if (parent.path / "scores").exists() and not (self.path / "scores").exists():
            _copy(parent.path / "scores", self.path / "scores")

    def tidy(self) -> None:
        """Remove what a killed process left half written. Only the lock's holder may."""
        for path in [*self.path.glob(".*.new"), *self.path.glob("*/.*.new")]:
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)

    # Scores

    def _scores(self, position: int) -> Path:
        return self.path / "scores" / f"{position:02d}.json"

    def scores(self, position: int) -> list[Scored | Routed]:
        """The scores taken after a stage (0: before any), and the routings behind them, as restored events."""
        path = self._scores(position)
        return [_restored(row) for row in _json(path)] if path.is_file() else []

    def add_scores(self, position: int, events: Sequence[Scored | Routed]) -> None:
        """Keep more scores of a stage."""
        write_json(self._scores(position), [e.as_json() for e in (*self.scores(position), *events)])

    # The stage in work

    def write_step(self, position: int, step: int, snapshot: Snapshot) -> None:
        """Write the latest step, then let go of the one before it. Raises CheckpointError."""
        target = self.path / f"step-{position}-{step}"
        with whole_folder(target) as folder:
            _write(folder, snapshot, "progress.json")
        self.drop_steps(but=target)

    def latest_step(self) -> tuple[int, int] | None:
        """(position, step) of the latest step checkpoint, or None."""
        found = [_STEP.fullmatch(path.name) for path in self.path.glob("step-*")]
        return max(((int(m[1]), int(m[2])) for m in found if m), default=None)

    def load_step(self, position: int, step: int) -> Snapshot:
        """A step checkpoint. Raises CheckpointError where it cannot be read."""
        return _read(self.path / f"step-{position}-{step}", "progress.json")

    def drop_steps(self, but: Path | None = None) -> None:
        """Remove step checkpoints."""
        for path in self.path.glob("step-*"):
            if path != but:
                shutil.rmtree(path, ignore_errors=True)


def _check_same(parent: RunFolder, stages: Sequence[Sequence[Task]]) -> None:
    for position, stage in enumerate(stages, 1):
        if not parent.has_stage(position):
            return
        if parent.learned(position).tasks != [task.name for task in stage]:
            names = ", ".join(task.name for task in stage)
            raise PlanError(
                f"stage {position} would be {names}, which is not what run {parent.path.name} learnt in it",
                "A strategy that learns tasks together cannot go on with more: name all tasks in a new run.",
            )


def _copy(source: Path, target: Path) -> None:
    with whole_folder(target) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True)


def adapters_of(backbone: Backbone) -> dict[str, Tensor]:
    """Every adapter's weights on the CPU, by "adapter/weight"."""
    return {f"{a}/{key}": weight for a in backbone.adapters for key, weight in backbone.adapter_state(a).items()}


def load_adapters(backbone: Backbone, weights: Mapping[str, Tensor]) -> None:
    """Make the backbone's adapters exactly those of a snapshot."""
    wanted: dict[str, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        adapter, _, key = name.partition("/")
        wanted.setdefault(adapter, {})[key] = weight
    for adapter in [a for a in backbone.adapters if a not in wanted]:
        if backbone.active == adapter:
            backbone.activate(None)
        backbone.drop_adapter(adapter)
    for adapter, state in wanted.items():
        if adapter not in backbone.adapters:
            backbone.add_adapter(adapter)
        try:
            backbone.load_adapter(adapter, state)
        except (KeyError, RuntimeError) as error:
            hint = "It is from another version of the backbone: install that one again, or start a new run."
            raise CheckpointError(f"the checkpoint does not fit the backbone: {error}", hint) from error


def _write(folder: Path, snapshot: Snapshot, name: str) -> None:
    for part in ("adapters", "optimizer", "best"):
        if tensors := getattr(snapshot, part):
            save_file({k: t.contiguous() for k, t in tensors.items()}, folder / f"{part}.safetensors")
    if snapshot.strategy.tensors:
        save_file({k: t.contiguous() for k, t in snapshot.strategy.tensors.items()}, folder / "strategy.safetensors")
    write_json(folder / name, {**snapshot.data, "strategy": snapshot.strategy.data})


def _read(folder: Path, name: str) -> Snapshot:
    data = _json(folder / name)
    state = State(_tensors(folder / "strategy.safetensors"), data.pop("strategy"))
    parts = {part: _tensors(folder / f"{part}.safetensors") for part in ("adapters", "optimizer", "best")}
    return Snapshot(strategy=state, data=data, **parts)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path} cannot be read: {error}",
        f"Remove {path.parent} and give the same command: what it held is made again.",
    )
