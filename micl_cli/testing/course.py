"""Courses: learning with a strategy step by step, under the control of a test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load, save
from torch import Tensor

from micl_cli.api.events import Step
from micl_cli.api.strategy import Progress, State, Strategy
from micl_cli.api.task import Task
from micl_cli.plan import Plan, Training
from micl_cli.registry import Registry
from micl_cli.training.components import RunComponents, make_accelerator
from micl_cli.training.evaluation import validation_loss
from micl_cli.training.feature_cache import Features
from micl_cli.training.snapshot import Snapshot, restore_snapshot
from micl_cli.training.state import StageState
from micl_cli.training.step import accumulate_gradients, train_step

BATCH_SIZE = 4
EPOCHS = 2
LEARNING_RATE = 2e-2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, in the file formats: JSON text, and safetensors by field of Snapshot."""

    position: int
    data: str
    tensors: Mapping[str, bytes]

    @classmethod
    def of(cls, position: int, snapshot: Snapshot) -> Checkpoint:
        """Return a snapshot as it would be written. Raises TypeError or ValueError if it cannot be written."""
        values = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
        values["strategy"] = snapshot.strategy.tensors
        del values["data"]
        data = json.dumps({**snapshot.data, "strategy": snapshot.strategy.data}, allow_nan=False)
        return cls(position, data, {name: _save(tensors) for name, tensors in values.items()})

    def snapshot(self) -> Snapshot:
        """Return the snapshot as it would be read."""
        tensors = {name: load(content) for name, content in self.tensors.items()}
        data = json.loads(self.data)
        return Snapshot(strategy=State(tensors.pop("strategy"), data.pop("strategy")), data=data, **tensors)


def _save(tensors: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


class Course:
    """The learning of ``tasks`` with a strategy. For each stage, call ``begin``, ``step``, ``rest`` and ``finish``.

    Steps, passes, random numbers and best weights are those of `micl learn`. ``options`` are set before each stage,
    overridden by those in ``stage_options`` (by position). A step has ``accumulation`` batches of ``batch_size``.
    """

    def __init__(
        self,
        strategy: Strategy,
        tasks: Sequence[Task],
        *,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        stage_options: Mapping[int, Mapping[str, Any]] | None = None,
        accumulation: int = 1,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        registry, backbone = Registry.discover(), strategy.backbone
        training = Training(
            epochs=EPOCHS,
            batch_size=batch_size,
            accumulation=accumulation,
            learning_rate=LEARNING_RATE,
            warmup=0.0,
            patience=0,
            precision="fp32",
        )
        plan = Plan(
            strategy=type(strategy).__name__,
            backbone=type(backbone).__name__,
            tasks=tuple(task.name for task in tasks),
            strategy_options=options or {},
            stage_options={str(position): values for position, values in (stage_options or {}).items()},
            seed=seed,
            training=training,
        )
        self.strategy = strategy
        self.components = RunComponents(
            plan,
            backbone,
            strategy,
            tasks,
            metrics={},
            features=Features(Path(), limit=0),
            accelerator=make_accelerator(plan, "cpu" if backbone.device.type == "cpu" else "auto"),
            load_part=registry.load,
            stages=strategy.stages(tasks, registry.load),
        )
        self.state: StageState
        self.last: Step
        """The latest step."""
        self.progress: list[Progress] = []
        """The progress of all passes so far."""

    @property
    def stages(self) -> Sequence[Sequence[Task]]:
        """The tasks of each stage."""
        return self.components.stages

    def learn(self, position: int) -> list[float]:
        """Learn a whole stage (from 1) and return the loss of each step."""
        self.begin(position)
        losses = self.rest()
        self.finish()
        return losses

    def begin(self, position: int) -> None:
        """Begin a stage, run the pass before learning, and create the optimiser."""
        stage = self.components.enter(position)
        self.components.backbone.calibrate([e for task in stage.tasks for e in task.examples("train")])
        self.strategy.begin(stage)
        self.strategy.modules.to(self.components.accelerator.device)
        self.components.eval()
        self.state = StageState(self.components, stage)
        self._run_pass("before")
        self.state.open()
        self.components.train()

    def step(self) -> float:
        """Take one step, with validation if it ends an epoch, and return the loss."""
        epoch = self.state.epoch
        self.last = train_step(self.components, self.state)
        if self.state.epoch != epoch or self.state.finished:
            self.state.end_epoch()
            self._validate()
        return self.last.loss

    def gradients(self) -> tuple[float, dict[str, Tensor]]:
        """Return the loss of the next step and its gradients by weight, in evaluation mode, without taking the step."""
        self.components.eval()
        loss, _ = accumulate_gradients(self.components, self.state.next_examples())
        weights = dict(self.strategy.trainable())
        found = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        for weight in weights.values():
            weight.grad = None
        self.components.train()
        return loss, found

    def _validate(self) -> None:
        """Validate by the loss: store the weights as the best if it is the lowest so far."""
        loss = validation_loss(self.components, self.state.stage.tasks)
        if loss is not None:
            self.state.record_validation(-loss)
        self.components.train()

    def rest(self) -> list[float]:
        """Take the remaining steps, restore the best weights, and return the losses."""
        losses = []
        while not self.state.finished:
            losses.append(self.step())
        self.state.restore_best()
        self.components.eval()
        return losses

    def finish(self) -> None:
        """End the stage and run the pass after learning."""
        self.end()
        self.after()

    def end(self) -> None:
        """End learning, before the pass after it."""
        self.strategy.end(self.state.stage)
        self.state.phase = "after"

    def after(self) -> None:
        """Run the pass after learning."""
        self._run_pass("after")
        self.components.eval()

    def _run_pass(self, when: Literal["before", "after"]) -> None:
        self.progress += getattr(self.strategy, when)(self.state.stage)

    def checkpoint(self) -> Checkpoint:
        """Return a checkpoint of the current state."""
        return Checkpoint.of(self.components.position, self.state.snapshot())

    def resume(self, checkpoint: Checkpoint, *, finished: bool = False) -> None:
        """Restore a checkpoint that was taken in a stage, or at its end (``finished``)."""
        stage = self.components.enter(checkpoint.position)
        if finished:
            restore_snapshot(self.strategy, checkpoint.snapshot())
            self.components.eval()
            return
        self.state = StageState(self.components, stage)
        self.state.restore(checkpoint.snapshot())
        if self.state.phase == "learning":
            self.components.train()
        else:
            self.components.eval()
