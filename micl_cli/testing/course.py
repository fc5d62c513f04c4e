"""A strategy driven through its stages as `micl learn` drives it, a step at a time."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from micl_cli.api.strategy import State, Strategy
from micl_cli.api.task import Example, Task
from micl_cli.registry import Registry

BATCH = 4
EPOCHS = 2
LEARNING_RATE = 1e-2


@dataclass(frozen=True)
class Moment:
    """What a checkpoint keeps between two steps: adapters, the strategy's state, its numbers."""

    position: int
    step: int
    active: str | None
    adapters: Mapping[str, Mapping[str, Tensor]]
    tensors: bytes
    data: str
    rng: tuple[Any, ...]
    optimizer: dict[str, Any]


class Course:
    """One strategy on its way through ``tasks``: ``begin``, ``step`` by step, ``finish``.

    Uses the order, the gradient clipping and the random numbers of `micl learn`. ``options``
    are set anew before each stage, those in ``stage_options`` (by position) over them.
    """

    def __init__(
        self,
        strategy: Strategy,
        tasks: Sequence[Task],
        *,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        stage_options: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        self.strategy, self.seed = strategy, seed
        self.options, self.stage_options = dict(options or {}), dict(stage_options or {})
        strategy.seed, strategy.load_part = seed, Registry.discover().load
        self.stages = [list(stage) for stage in strategy.stages(tasks)]
        self.position = 0
        self.steps = 0
        self.optimizer: torch.optim.Optimizer | None = None

    def learn(self, position: int) -> list[float]:
        """Learn a whole stage (1-based). Returns the loss of each step."""
        self.begin(position)
        losses = self.rest()
        self.finish()
        return losses

    def begin(self, position: int) -> None:
        """Begin a stage: the strategy's ``begin``, then an optimiser for what moves."""
        self._enter(position)
        self.strategy.backbone.calibrate([e for task in self.strategy.stage for e in task.examples("train")])
        for task in self.strategy.stage:
            self.strategy.begin(task)
        self._open()

    def step(self) -> float:
        """One optimiser step, and all that the strategy does about it. Returns the loss."""
        strategy = self.strategy
        loss = strategy.loss(strategy.batch(self._drawn()))
        assert loss.ndim == 0, f"a loss is one number, not of shape {tuple(loss.shape)}"
        assert loss.requires_grad, "the loss does not depend on any weight that moves"
        assert torch.isfinite(loss), f"the loss is {loss}"
        torch.autograd.backward(loss)
        strategy.constrain()
        clip_grad_norm_(list(strategy.parameters()), 1.0)
        assert self.optimizer is not None, "begin a stage first"
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        strategy.step_end(self.steps)
        if self.steps % self.in_epoch == 0:
            strategy.epoch_end()
        return float(loss.detach())

    def rest(self) -> list[float]:
        """The steps that are left of this stage. Returns their losses."""
        return [self.step() for _ in range(self.steps, EPOCHS * self.in_epoch)]

    def finish(self) -> None:
        """The strategy's ``end`` for each task of the stage."""
        for task in self.strategy.stage:
            self.strategy.end(task)
        self.strategy.backbone.module.eval()

    def moment(self) -> Moment:
        """Everything as it stands, through the same formats as a checkpoint."""
        backbone, state = self.strategy.backbone, self.strategy.state()
        return Moment(
            position=self.position,
            step=self.steps,
            active=backbone.active,
            adapters={name: backbone.adapter_state(name) for name in backbone.adapters},
            tensors=save({name: tensor.contiguous() for name, tensor in state.tensors.items()}),
            data=json.dumps(state.data, allow_nan=False),
            rng=self.strategy.rng.getstate(),
            optimizer=copy.deepcopy(self.optimizer.state_dict()) if self.optimizer else {},
        )

    def resume(self, moment: Moment, *, finished: bool = False) -> None:
        """Stand where ``moment`` was taken: in a stage, or at its end (``finished``)."""
        self._enter(moment.position)
        self._restore(moment)
        if finished:
            self.strategy.backbone.module.eval()
            return
        optimizer = self._open()
        self.strategy.rng.setstate(moment.rng)
        optimizer.load_state_dict(copy.deepcopy(moment.optimizer))
        self.steps = moment.step

    def _enter(self, position: int) -> None:
        strategy = self.strategy
        strategy.configure({**self.options, **self.stage_options.get(position, {})})
        strategy.position, strategy.stage = position, self.stages[position - 1]
        strategy.seen = [task for stage in self.stages[: position - 1] for task in stage]
        strategy.rng = random.Random(f"{self.seed}/{position}/strategy")
        strategy.parts = {}
        self.position, self.steps = position, 0

    def _restore(self, moment: Moment) -> None:
        backbone = self.strategy.backbone
        backbone.activate(None)
        for name in set(backbone.adapters) - set(moment.adapters):
            backbone.drop_adapter(name)
        for name, weights in moment.adapters.items():
            if name not in backbone.adapters:
                backbone.add_adapter(name)
            backbone.load_adapter(name, weights)
        backbone.activate(moment.active)
        self.strategy.restore(State(load(moment.tensors), json.loads(moment.data)))

    def _open(self) -> torch.optim.Optimizer:
        strategy = self.strategy
        self.examples: list[Example] = [e for task in strategy.stage for e in strategy.examples(task)]
        self.in_epoch = -(-len(self.examples) // BATCH)
        optimizer = torch.optim.AdamW(list(strategy.parameters()), lr=LEARNING_RATE, weight_decay=0.05)
        strategy.backbone.module.train()
        self.optimizer = optimizer
        return optimizer

    def _drawn(self) -> list[Example]:
        epoch, place = divmod(self.steps, self.in_epoch)
        order = list(range(len(self.examples)))
        random.Random(f"{self.seed}/{self.position}/{epoch}").shuffle(order)
        return [self.examples[i] for i in order[place * BATCH : (place + 1) * BATCH]]
