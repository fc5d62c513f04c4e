"""The folder of a run: finished stages, their scores, and the latest step checkpoints of the current stage.

RUN/stages/02/         adapters.safetensors modules.safetensors strategy.safetensors stage.json
RUN/scores/02.json     the scores after stage 2
RUN/step-2-140/        like a stage, with optimizer.safetensors, best.safetensors and progress.json
RUN/step-2-140-after/  the same, if learning has ended and only the pass after it remains
RUN/lock               locked by the process that works on the run
RUN/log.txt            what happened and when, for people (session/run_log.py)

Each JSON document has its own digest and those of the tensor files beside it. A stage also names the weights that it
was learnt from ("follows"), and scores the weights that they were computed with ("stage").
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from micl_cli.api.events import Routed, Scored, TaskLearned
from micl_cli.api.task import Task
from micl_cli.errors import CheckpointError, PlanError
from micl_cli.io.documents import LEARN_AGAIN, damage_reported, read_document, write_document
from micl_cli.io.files import atomic_folder, remove_atomically
from micl_cli.io.removal import remove
from micl_cli.training.snapshot import Snapshot
from micl_cli.training.snapshot_files import read_snapshot, verified_document, weights_id, write_snapshot

_STAGE, _PROGRESS = "stage.json", "progress.json"
_REPAIR = {
    "stages": "the stage is learnt again",
    "scores": "the scores are computed again",
    "step": "learning continues from the one before it, or from the start of the stage",
}
_STEP = re.compile(r"step-(\d+)-(\d+)(-after)?")


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
        return (self.stage(position) / _STAGE).is_file()

    def has_stages(self, count: int) -> bool:
        """Return whether the first ``count`` stages are finished."""
        return all(self.has_stage(position) for position in range(1, count + 1))

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is any checkpoint of the run on this machine."""
        return (self.path / "stages").exists() or self.latest_step() is not None

    def finish_stage(self, position: int, snapshot: Snapshot) -> None:
        """Write the checkpoint of a finished stage, then remove its step checkpoints.

        Later stages and scores that other weights of this stage led to are removed. Raises CheckpointError, or
        MiclError if a weight is not finite.
        """
        follows = self._weights(position - 1)
        with atomic_folder(self.stage(position)) as folder:
            write_snapshot(folder, _STAGE, snapshot, follows=follows)
        self.drop_steps()
        for path in self._outdated():
            remove_atomically(path)

    def load_stage(self, position: int) -> Snapshot:
        """Return the snapshot of a finished stage. Raises CheckpointError if it is missing or damaged."""
        with self._hinted():
            self.learned(position)
            return read_snapshot(self.stage(position), _STAGE)

    def stage_data(self, position: int) -> dict[str, Any]:
        """Return the content of stage.json; "learned" holds the fields of the TaskLearned event."""
        return read_document(self.stage(position) / _STAGE)

    def learned(self, position: int) -> TaskLearned:
        """Return the TaskLearned event of a finished stage, marked as restored. Raises CheckpointError."""
        with damage_reported(self.stage(position) / _STAGE):
            learned = TaskLearned(**{**self.stage_data(position)["learned"], "restored": True})
            if learned.position != position:
                raise ValueError(f"it is that of stage {learned.position}")
            return learned

    def inherit(self, parent: RunFolder, stages: Sequence[Sequence[Task]]) -> None:
        """Copy the finished stages and scores of the run that this one continues, where they are not here yet.

        Raises PlanError if they are not the first of ``stages``, CheckpointError if they do not exist or are damaged.
        """
        if not parent.has_stage(1):
            if self.has_stage(1):
                return
            raise CheckpointError(f"run {parent.path.name} has no checkpoints in {parent.path}", _made_again(parent))
        missing = [n for n in range(1, len(stages) + 1) if parent.has_stage(n) and not self.has_stage(n)]
        try:
            if missing:
                _check_same_tasks(parent, stages)
            for position in (0, *missing):
                self._inherit_position(parent, position)
        except CheckpointError as error:
            if error.hint == LEARN_AGAIN:
                error.hint = _made_again(parent)
            raise

    def _inherit_position(self, parent: RunFolder, position: int) -> None:
        """Copy the scores after a stage, then the stage: only a stage that is here is not copied again."""
        if position:
            parent._verify_stage(position)
        if parent._scores(position).exists() and not self._scores(position).exists():
            self._add_scores(position, parent.scores(position), parent._weights(position))
        if position:
            _copy(parent.stage(position), self.stage(position))

    @contextmanager
    def _hinted(self) -> Iterator[None]:
        """Name this run in the hint of a CheckpointError."""
        try:
            yield
        except CheckpointError as error:
            error.hint = f"It is computed again by the same learn command, or: micl learn --resume {self.path.name}"
            raise

    # Repair

    def tidy(self) -> None:
        """Remove incomplete files and folders of a killed process. Call it with the lock held."""
        for path in [*self.path.glob(".*.new"), *self.path.glob("*/.*.new")]:
            remove(path)

    def repair(self) -> list[str]:
        """Remove what is damaged, so that it is computed again, and return a notice for each removal.

        Every digest is checked. Call it with the lock held.
        """
        notices = []
        for path, error in self._damaged():
            remove_atomically(path)
            notices.append(f"{error.message}; {_REPAIR[path.parent.name if path.parent != self.path else 'step']}")
        for path in self._outdated():
            remove_atomically(path)
            what = "scores" if path.suffix else "stage"
            notices.append(f"{what} {path.stem} belong to other weights of an earlier stage: they are computed again")
        return notices

    def _damaged(self) -> Iterator[tuple[Path, CheckpointError]]:
        checks: list[tuple[Path, Callable[[], Any]]] = []
        for position in self._positions("stages"):
            checks.append((self.stage(position), partial(self._verify_stage, position)))
        for position in self._positions("scores"):
            checks.append((self._scores(position), partial(self.scores, position)))
        for path in self._steps():
            checks.append((path, partial(_verify_step, path)))
        for path, check in checks:
            try:
                check()
            except CheckpointError as error:
                yield path, error

    def _verify_stage(self, position: int) -> None:
        verified_document(self.stage(position), _STAGE)
        self.learned(position)

    def _outdated(self) -> list[Path]:
        """Return the stages and scores that belong to other weights than those of the stages before them."""
        outdated: list[Path] = []
        broken = False
        for position in self._positions("stages"):
            before = self._weights(position - 1)
            follows = self.stage_data(position).get("follows", before)
            broken = broken or bool(before and follows and follows != before)
            if broken:
                outdated.append(self.stage(position))
        for position in self._positions("scores"):
            here, stage = self._weights(position), self._scores_document(position).get("stage", "")
            if self.stage(position) in outdated or (stage and here and stage != here):
                outdated.append(self._scores(position))
        return outdated

    def _weights(self, position: int) -> str:
        """Return what identifies the weights of a finished stage, or "" if it is not there."""
        return weights_id(self.stage_data(position)) if self.has_stage(position) else ""

    def _positions(self, folder: str) -> list[int]:
        return sorted(int(path.stem) for path in (self.path / folder).glob("*") if path.stem.isdecimal())

    # Scores

    def _scores(self, position: int) -> Path:
        return self.path / "scores" / f"{position:02d}.json"

    def _scores_document(self, position: int) -> dict[str, Any]:
        path = self._scores(position)
        return read_document(path, list_key="events") if path.exists() else {}

    def scores(self, position: int) -> list[Scored | Routed]:
        """Return the scores after a stage (0: before any) and the routings behind them, as restored events."""
        with damage_reported(self._scores(position)):
            return [_restored(data) for data in self._scores_document(position).get("events", [])]

    def has_scores(self, count: int) -> bool:
        """Return whether there are scores after each of the first ``count`` stages."""
        return all(self._scores(position).is_file() for position in range(1, count + 1))

    def add_scores(self, position: int, events: Sequence[Scored | Routed]) -> None:
        """Add scores, and the routings behind them, of a stage."""
        self._add_scores(position, events, self._weights(position))

    def _add_scores(self, position: int, events: Sequence[Scored | Routed], stage: str) -> None:
        content = [event.as_json() for event in (*self.scores(position), *events)]
        write_document(self._scores(position), {"stage": stage, "events": content})

    # The current stage

    def write_step(self, position: int, step: int, snapshot: Snapshot) -> None:
        """Write a step checkpoint; the one before it is kept for the case that this one is damaged.

        Raises CheckpointError, or MiclError if a weight is not finite.
        """
        target = self._step(position, step, after=snapshot.data.get("phase") == "after")
        before = [path for path in self._steps() if path != target and _step_key(path)[0] == position]
        with atomic_folder(target) as folder:
            write_snapshot(folder, _PROGRESS, snapshot, place=[position, step])
        self.drop_steps(keep=(target, *before[:1]))

    def latest_step(self) -> tuple[int, int] | None:
        """Return (position, step) of the latest step checkpoint, or None."""
        return _step_key(steps[0])[:2] if (steps := self._steps()) else None

    def load_step(self, position: int, step: int) -> Snapshot:
        """Return a step checkpoint, preferably one after learning. Raises CheckpointError if it is damaged."""
        after = self._step(position, step, after=True)
        with self._hinted():
            return read_snapshot(after if after.exists() else self._step(position, step), _PROGRESS)

    def _step(self, position: int, step: int, *, after: bool = False) -> Path:
        return self.path / f"step-{position}-{step}{'-after' if after else ''}"

    def _steps(self) -> list[Path]:
        """Return the step checkpoints, the latest first."""
        return sorted((path for path in self.path.glob("step-*") if _STEP.fullmatch(path.name)), key=_step_key)[::-1]

    def drop_steps(self, keep: Collection[Path] = ()) -> None:
        """Remove all step checkpoints except those in ``keep``."""
        for path in self._steps():
            if path not in keep:
                remove_atomically(path)


def _step_key(path: Path) -> tuple[int, int, bool]:
    match = _STEP.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2]), bool(match[3])


def _verify_step(path: Path) -> None:
    """Raise CheckpointError if a step checkpoint is damaged, or is that of another step."""
    document = verified_document(path, _PROGRESS)
    with damage_reported(path / _PROGRESS):
        position, step, _ = _step_key(path)
        if document.get("place", [position, step]) != [position, step]:  # earlier versions of micl wrote none
            raise ValueError("it is that of another step")


def _restored(data: Mapping[str, Any]) -> Scored | Routed:
    values = {**data, "restored": True}
    return Routed(**values) if values.pop("event", Scored.name) == Routed.name else Scored(**values)


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


def _made_again(parent: RunFolder) -> str:
    name = parent.path.name
    return f"Make it again with `micl learn --resume {name}`, then use this command again; or learn all in a new run."


def _copy(source: Path, target: Path) -> None:
    with atomic_folder(target) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True)
