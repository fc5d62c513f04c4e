"""One stage in work: its optimiser, its place in the data, its best weights; saved and restored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import ceil, cos, pi
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from micl_cli.api.strategy import State
from micl_cli.api.task import Example, Task
from micl_cli.plan import Training
from micl_cli.training.checkpoint import Snapshot, adapters_of, load_adapters
from micl_cli.training.components import RunComponents


class StageState:
    """The state of learning one stage: all that a step checkpoint must hold to go on exactly."""

    def __init__(self, components: RunComponents, position: int, stage: Sequence[Task]) -> None:
        self.components, self.position, self.stage = components, position, stage
        self.step = 0
        self.learnt_from = 0
        self.seconds = 0.0
        self.peak = 0
        self.best: float | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.waited = 0
        self.ended = False
        self._order: tuple[int, list[int]] = (0, [])

    def open(self) -> None:
        """Build the optimiser, once the strategy has begun and the adapters are in place."""
        training, accelerator = self.components.plan.training, self.components.accelerator
        self.examples: Sequence[Example] = [e for task in self.stage for e in self.components.strategy.examples(task)]
        self.in_epoch = steps_in_epoch(training, len(self.examples))
        self.planned = planned_steps(training, len(self.examples), len(self.stage))
        weights = list(self.components.strategy.parameters())
        self.trainable = sum(weight.numel() for weight in weights)
        if not self.examples or not weights:
            self.planned = 0  # the strategy learns nothing here
            return
        optimizer = AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)
        self.optimizer: AdamW = accelerator.prepare_optimizer(optimizer)

    def set_rate(self) -> float:
        """Set the next step's learning rate: a linear rise, then a cosine to zero. Returns it."""
        training = self.components.plan.training
        rise = ceil(training.warmup * self.planned)
        share = (self.step - rise) / max(1, self.planned - rise)
        factor = (self.step + 1) / (rise + 1) if self.step < rise else (1 + cos(pi * share)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate * factor
        return training.learning_rate * factor

    # The data's order depends on seed, stage and epoch alone, so a resumed run sees the same.

    @property
    def epoch(self) -> int:
        """The pass over the examples that the next step belongs to, from 1."""
        return self.step // self.in_epoch + 1

    def drawn(self) -> list[Example]:
        """The next step's examples, each with the reference that is taught this time."""
        seed, epoch = f"{self.components.plan.seed}/{self.position}/{self.epoch}", self.epoch
        if self._order[0] != epoch:
            order = list(range(len(self.examples)))
            random.Random(seed).shuffle(order)
            self._order = (epoch, order)
        size = self.components.plan.training.batch_size * self.components.plan.training.accumulation
        start = self.step % self.in_epoch * size
        return [self._taught(i, seed) for i in self._order[1][start : start + size]]

    def _taught(self, index: int, seed: str) -> Example:
        example = self.examples[index]
        if example.answer is not None or len(example.references) < 2:
            return example
        return example.with_answer(random.Random(f"{seed}/{index}").choice(example.references))

    # Best by validation

    def judge(self, value: float) -> bool:
        """Take a validation score in; keep the weights where it is the best. True if it is."""
        if self.best is not None and value <= self.best:
            self.waited += 1
            patience = self.components.plan.training.patience
            self.ended = bool(patience) and self.waited >= patience
            return False
        self.best, self.waited = value, 0
        backbone = self.components.backbone
        self.best_weights = backbone.adapter_state(backbone.active) if backbone.active else {}
        return True

    def restore_best(self) -> None:
        """Put the best weights in place, where validation chose some."""
        backbone = self.components.backbone
        if self.best_weights and backbone.active:
            backbone.load_adapter(backbone.active, self.best_weights)

    # Checkpoints

    def snapshot(self) -> Snapshot:
        """Everything as it stands after a step."""
        strategy, backbone = self.components.strategy, self.components.backbone
        state = strategy.state()
        data: dict[str, Any] = {key: getattr(self, key) for key in _KEPT}
        data |= {"active": backbone.active, "rng": strategy.rng.getstate()}
        optimizer = {**_optimizer_tensors(self.optimizer), "torch_rng": torch.get_rng_state()}
        if torch.cuda.is_available():
            optimizer["cuda_rng"] = torch.cuda.get_rng_state()
        return Snapshot(adapters_of(backbone), state, data, optimizer, dict(self.best_weights))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this stage; opens the work."""
        strategy, backbone, data = self.components.strategy, self.components.backbone, snapshot.data
        load_adapters(backbone, snapshot.adapters)
        backbone.activate(data["active"])
        version, numbers, gauss = data["rng"]
        strategy.restore(State(snapshot.strategy.tensors, snapshot.strategy.data))
        self.open()
        strategy.rng.setstate((version, tuple(numbers), gauss))
        for key in _KEPT:
            setattr(self, key, data[key])
        self.best_weights = snapshot.best
        _restore_optimizer(self.optimizer, snapshot.optimizer)
        torch.set_rng_state(snapshot.optimizer["torch_rng"])
        if torch.cuda.is_available() and "cuda_rng" in snapshot.optimizer:
            torch.cuda.set_rng_state(snapshot.optimizer["cuda_rng"])


_KEPT = ("step", "learnt_from", "seconds", "peak", "best", "waited", "ended")


def steps_in_epoch(training: Training, examples: int) -> int:
    """Optimiser steps in one pass over so many examples."""
    return max(1, ceil(examples / (training.batch_size * training.accumulation)))


def planned_steps(training: Training, examples: int, tasks: int) -> int:
    """Optimiser steps of a stage of ``tasks`` tasks, where it is not ended early."""
    epochs = training.epochs * steps_in_epoch(training, examples)
    return min(epochs, training.max_steps * tasks) if training.max_steps else epochs


def _optimizer_tensors(optimizer: Any) -> dict[str, Tensor]:
    """AdamW's moments and step counts, by "index/name"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{key}": tensor.detach().cpu().clone() for i, kept in state.items() for key, tensor in kept.items()}


def _restore_optimizer(optimizer: Any, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, slash, key = name.partition("/")
        if slash:
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
