"""The folder of a run: finished stages, their scores, and the latest step checkpoint of the current stage.

RUN/stages/02/         adapters.safetensors modules.safetensors strategy.safetensors stage.json
RUN/scores/02.json     the scores after stage 2
RUN/step-2-140/        like a stage, with optimizer.safetensors, best.safetensors and progress.json
RUN/step-2-140-after/  the same, if learning has ended and only the pass after it remains
RUN/lock               locked by the process that works on the run
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from micl_cli.api.events import Routed, Scored, TaskLearned
from micl_cli.api.strategy import State
from micl_cli.api.task import Task
from micl_cli.errors import CheckpointError, PlanError
from micl_cli.io.files import atomic_folder, write_json
from micl_cli.training.snapshot import Snapshot

_STEP = re.compile(r"step-(\d+)-(\d+)(-after)?")
_TENSORS = ("adapters", "modules", "optimizer", "best")
"""The fields of a Snapshot that are written as files of tensors."""


def _restored(data: Mapping[str, Any]) -> Scored | Routed:
    values = {**data, "restored": True}
    return Routed(**values) if values.pop("event", Scored.name) == Routed.name else Scored(**values)


class RunFolder:
    """Reads and writes the checkpoints of a run. Each is written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # Finished stages

    def stage(self, position: int) -> Path:
        """Return the folder of a finished stage (1-based)."""
        return self.path / "stages" / f"{position:02d}"

    def has_stage(self, position: int) -> bool:
        """Return whether a stage is finished."""
        return (self.stage(position) / "stage.json").is_file()

    def has_stages(self, count: int) -> bool:
        """Return whether the first ``count`` stages are finished."""
        return all(self.has_stage(position) for position in range(1, count + 1))

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is any checkpoint of the run on this machine."""
        return (self.path / "stages").exists() or self.latest_step() is not None

    def finish_stage(self, position: int, snapshot: Snapshot) -> None:
        """Write the checkpoint of a finished stage, then remove its step checkpoints. Raises CheckpointError."""
        with atomic_folder(self.stage(position)) as folder:
            _write(folder, snapshot, "stage.json")
        self.drop_steps()

    def load_stage(self, position: int) -> Snapshot:
        """Return the snapshot of a finished stage. Raises CheckpointError if it cannot be read."""
        return _read(self.stage(position), "stage.json")

    def stage_data(self, position: int) -> dict[str, Any]:
        """Return the content of stage.json; "learned" holds the fields of the TaskLearned event."""
        data: dict[str, Any] = _json(self.stage(position) / "stage.json")
        return data

    def learned(self, position: int) -> TaskLearned:
        """Return the TaskLearned event of a finished stage, marked as restored."""
        return TaskLearned(**{**self.stage_data(position)["learned"], "restored": True})

    def inherit(self, parent: RunFolder, stages: Sequence[Sequence[Task]]) -> None:
        """Copy the finished stages and scores of the run that this one continues.

        Raises PlanError if they are not the first of ``stages``, CheckpointError if they do not exist.
        """
        if not self.has_stage(1):
            if not parent.has_stage(1):
                hint = "Restore its folder, or learn all tasks in a new run."
                raise CheckpointError(f"run {parent.path.name} has no checkpoints in {parent.path}", hint)
            _check_same_tasks(parent, stages)
            _copy(parent.path / "stages", self.path / "stages")
        if (parent.path / "scores").exists() and not (self.path / "scores").exists():
            _copy(parent.path / "scores", self.path / "scores")

    def tidy(self) -> None:
        """Remove incomplete files and folders of a killed process. Call it with the lock held."""
        for path in [*self.path.glob(".*.new"), *self.path.glob("*/.*.new")]:
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)

    # Scores

    def _scores(self, position: int) -> Path:
        return self.path / "scores" / f"{position:02d}.json"

    def scores(self, position: int) -> list[Scored | Routed]:
        """Return the scores after a stage (0: before any) and the routings behind them, as restored events."""
        path = self._scores(position)
        return [_restored(data) for data in _json(path)] if path.is_file() else []

    def add_scores(self, position: int, events: Sequence[Scored | Routed]) -> None:
        """Add scores, and the routings behind them, of a stage."""
        write_json(self._scores(position), [e.as_json() for e in (*self.scores(position), *events)])

    # The current stage

    def write_step(self, position: int, step: int, snapshot: Snapshot) -> None:
        """Write a step checkpoint, then remove the previous one. Raises CheckpointError."""
        target = self._step(position, step, after=snapshot.data.get("phase") == "after")
        with atomic_folder(target) as folder:
            _write(folder, snapshot, "progress.json")
        self.drop_steps(keep=target)

    def latest_step(self) -> tuple[int, int] | None:
        """Return (position, step) of the latest step checkpoint, or None."""
        matches = [_STEP.fullmatch(path.name) for path in self.path.glob("step-*")]
        return max(((int(m[1]), int(m[2])) for m in matches if m), default=None)

    def load_step(self, position: int, step: int) -> Snapshot:
        """Return a step checkpoint, preferably one after learning. Raises CheckpointError if it cannot be read."""
        after = self._step(position, step, after=True)
        return _read(after if after.exists() else self._step(position, step), "progress.json")

    def _step(self, position: int, step: int, *, after: bool = False) -> Path:
        return self.path / f"step-{position}-{step}{'-after' if after else ''}"

    def drop_steps(self, keep: Path | None = None) -> None:
        """Remove all step checkpoints except ``keep``."""
        for path in self.path.glob("step-*"):
            if path != keep:
                shutil.rmtree(path, ignore_errors=True)


def _check_same_tasks(parent: RunFolder, stages: Sequence[Sequence[Task]]) -> None:
    for position, stage in enumerate(stages, 1):
        if not parent.has_stage(position):
            return
        if parent.learned(position).tasks != [task.name for task in stage]:
            names = ", ".join(task.name for task in stage)
            raise PlanError(
                f"stage {position} would learn {names}, but run {parent.path.name} learnt other tasks in it",
                "A strategy that learns tasks jointly cannot add tasks to a run: name all of them in a new run.",
            )


def _copy(source: Path, target: Path) -> None:
    with atomic_folder(target) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True)


def _write(folder: Path, snapshot: Snapshot, name: str) -> None:
    files = {field: getattr(snapshot, field) for field in _TENSORS} | {"strategy": snapshot.strategy.tensors}
    for field, tensors in files.items():
        if tensors:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / f"{field}.safetensors")
    write_json(folder / name, {**snapshot.data, "strategy": snapshot.strategy.data})


def _read(folder: Path, name: str) -> Snapshot:
    data = _json(folder / name)
    state = State(_tensors(folder / "strategy.safetensors"), data.pop("strategy"))
    files = {field: _tensors(folder / f"{field}.safetensors") for field in _TENSORS}
    return Snapshot(strategy=state, data=data, **files)


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
        f"Remove {path.parent} and run the same command: its content is computed again.",
    )
