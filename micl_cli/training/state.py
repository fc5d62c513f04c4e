"""The state of learning one stage: phase, optimiser, position in the data and best weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import AdamW

from micl_cli.api.schedule import Schedule
from micl_cli.api.selection import Selection
from micl_cli.api.strategy import Stage
from micl_cli.api.task import Example
from micl_cli.training.components import RunComponents
from micl_cli.training.snapshot import (
    Snapshot,
    learning_weights,
    load_learning_weights,
    restore_snapshot,
    take_snapshot,
)
from micl_cli.training.steps import planned_steps, steps_in_epoch

Phase = Literal["before", "learning", "after"]
"""The phase of a stage: the pass before learning, learning, or the pass after it."""

_SAVED = (
    *("phase", "step", "examples_seen", "seconds", "before_seconds", "peak_bytes"),
    *("best", "validations_without_gain", "stopped_early", "example_count", "steps_planned", "trainable_parameters"),
)


class StageState:
    """The state of a stage that is saved in step checkpoints, so that a resumed stage continues identically."""

    def __init__(self, components: RunComponents, stage: Stage) -> None:
        self.components, self.stage = components, stage
        self.phase: Phase = "before"
        self.step = 0
        self.examples_seen = 0
        self.seconds = self.before_seconds = self.after_seconds = 0.0
        self.peak_bytes = 0
        self.best: float | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.validations_without_gain = 0
        self.stopped_early = False
        self.examples: Sequence[Example] = ()
        self.example_count = self.steps_planned = self.trainable_parameters = 0
        self.steps_per_epoch = 1
        self._order: tuple[int, list[int]] = (0, [])

    def open(self) -> None:
        """Collect the examples and create the optimiser. Call it after the strategy's ``begin``."""
        training, strategy = self.components.plan.training, self.components.strategy
        self.phase = "learning"
        self.examples = strategy.examples(self.stage)
        self.example_count = len(self.examples)
        self.steps_per_epoch = steps_in_epoch(training, self.example_count)
        self.steps_planned = planned_steps(training, self.example_count, len(self.stage.tasks))
        weights = [weight for _, weight in strategy.trainable()]
        self.trainable_parameters = sum(weight.numel() for weight in weights)
        if not self.examples or not weights:
            self.steps_planned = 0  # the strategy learns nothing in this stage
        strategy.schedule = Schedule(self.steps_planned, self.steps_per_epoch, training.warmup)
        if not self.steps_planned:
            return
        optimizer = AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)
        self.optimizer: AdamW = self.components.accelerator.prepare_optimizer(optimizer)

    def set_learning_rate(self) -> float:
        """Set and return the learning rate of the next step: linear warmup, then cosine decay to zero."""
        rate = self.components.plan.training.learning_rate * self.components.strategy.schedule.factor(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    # The order of examples depends only on seed, stage and epoch, so that a resumed run draws the same ones

    @property
    def epoch(self) -> int:
        """The pass over the examples that the next step belongs to, from 1."""
        return self.step // self.steps_per_epoch + 1

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.steps_planned or self.stopped_early

    def next_examples(self) -> list[Example]:
        """Return the next step's examples, each with one of its references as the answer."""
        seed, epoch = f"{self.components.plan.seed}/{self.stage.position}/{self.epoch}", self.epoch
        if self._order[0] != epoch:
            order = list(range(len(self.examples)))
            random.Random(seed).shuffle(order)
            self._order = (epoch, order)
        size = self.components.plan.training.batch_size * self.components.plan.training.accumulation
        start = self.step % self.steps_per_epoch * size
        return [self._with_reference(i, seed) for i in self._order[1][start : start + size]]

    def upcoming(self, steps: int) -> list[Example]:
        """Return the examples of the ``steps`` steps after the next one, within the same epoch."""
        size = self.components.plan.training.batch_size * self.components.plan.training.accumulation
        start = (self.step % self.steps_per_epoch + 1) * size
        return [self.examples[i] for i in self._order[1][start : start + steps * size]]

    def _with_reference(self, index: int, seed: str) -> Example:
        example = self.examples[index]
        if example.answer is not None or len(example.references) < 2:
            return example
        return example.with_answer(random.Random(f"{seed}/{index}").choice(example.references))

    # The ends of an epoch and of learning

    @property
    def partial_steps(self) -> int:
        """The number of steps in a last epoch that ``--max-steps`` cuts off, or 0."""
        return self.steps_planned % self.steps_per_epoch

    def end_epoch(self) -> bool:
        """Let the strategy end an epoch, unless it was cut off, and return whether that has changed what is learnt."""
        cut_off = self.step % self.steps_per_epoch
        return not cut_off and self.changed_by(self.components.strategy.epoch_end)

    def changed_by(self, act: Callable[[], object]) -> bool:
        """Call ``act`` and return whether it has changed the trained weights or the active selection."""
        before = self.learnt()
        act()
        return self.differs_from(before)

    def learnt(self) -> tuple[Selection, dict[str, Tensor]]:
        """Return the active selection and copies of the trained weights."""
        return self.components.backbone.adapters.active, learning_weights(self.components.strategy)

    def differs_from(self, before: tuple[Selection, Mapping[str, Tensor]]) -> bool:
        """Return whether the active selection or the trained weights differ from those that ``learnt`` returned."""
        (active, weights), (old_active, old) = self.learnt(), before
        same = weights.keys() == old.keys() and all(torch.equal(weights[name], old[name]) for name in weights)
        return not same or active != old_active

    # Best weights

    def record_validation(self, value: float) -> bool:
        """Record a validation score, store the weights if none was higher so far, and return whether they are stored.

        Of equal scores, the latest weights are stored, but only a higher one counts as a gain for ``patience``. A score
        that is not a number is never the best.
        """
        gain = self.best is None or value > self.best
        self.validations_without_gain = 0 if gain and not isnan(value) else self.validations_without_gain + 1
        patience = self.components.plan.training.patience
        self.stopped_early = bool(patience) and self.validations_without_gain >= patience
        if isnan(value) or not (gain or value == self.best):
            return False
        self.best, self.best_weights = value, learning_weights(self.components.strategy)
        return True

    def restore_best(self) -> None:
        """Restore the best trained weights, if there was a validation."""
        if self.best_weights:
            load_learning_weights(self.components.strategy, self.best_weights)
        self.best_weights = {}

    # Checkpoints

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the current state, after a step or a phase."""
        saved = {key: getattr(self, key) for key in _SAVED}
        snapshot = take_snapshot(self.components.strategy, **saved, rng=self.stage.rng.getstate())
        if self.phase == "learning" and self.steps_planned:
            snapshot.optimizer |= _optimizer_tensors(self.optimizer)
        snapshot.optimizer["torch_rng"] = torch.get_rng_state()
        if torch.cuda.is_available():
            snapshot.optimizer["cuda_rng"] = torch.cuda.get_rng_state()
        snapshot.best = dict(self.best_weights)
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of this stage, which the strategy must have entered."""
        restore_snapshot(self.components.strategy, snapshot)
        if snapshot.data["phase"] == "learning":
            self.open()
        for key in _SAVED:
            setattr(self, key, snapshot.data[key])
        version, numbers, gauss = snapshot.data["rng"]
        self.stage.rng.setstate((version, tuple(numbers), gauss))
        self.best_weights = snapshot.best
        if self.phase == "learning" and self.steps_planned:
            _restore_optimizer(self.optimizer, snapshot.optimizer)
        torch.set_rng_state(snapshot.optimizer["torch_rng"])
        if torch.cuda.is_available() and "cuda_rng" in snapshot.optimizer:
            torch.cuda.set_rng_state(snapshot.optimizer["cuda_rng"])


def _optimizer_tensors(optimizer: Any) -> dict[str, Tensor]:
    """Return AdamW's moments and step counts by "index/name"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{key}": value.detach().cpu().clone() for i, values in state.items() for key, value in values.items()}


def _restore_optimizer(optimizer: Any, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, slash, key = name.partition("/")
        if slash:
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
