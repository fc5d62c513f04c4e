"""One optimiser step: accumulate gradients over batches, constrain and clip them, and update the weights."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from micl_cli.api.events import Step
from micl_cli.api.strategy import Loss
from micl_cli.errors import MiclError

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents
    from micl_cli.training.state import StageState


def train_step(components: RunComponents, state: StageState) -> Step:
    """Take the next optimiser step of a stage, with gradients accumulated over ``accumulation`` batches.

    Raises MiclError if the loss is not finite, not a scalar, or does not depend on a trainable weight.
    """
    strategy, accelerator, training = components.strategy, components.accelerator, components.plan.training
    started, epoch = time.perf_counter(), state.epoch
    learning_rate = state.set_learning_rate()
    examples = state.next_examples()
    total, terms = 0.0, defaultdict[str, float](float)
    for start in range(0, len(examples), training.batch_size):
        batch = examples[start : start + training.batch_size]
        share = len(batch) / len(examples)
        with accelerator.autocast():
            loss, named = loss_and_terms(strategy.loss(strategy.batch(batch)))
            loss = loss * share
        accelerator.backward(loss)
        total += float(loss.detach())
        for name, term in named.items():
            terms[name] += share * float(term.detach())
    _check_finite(total, state)
    strategy.constrain()
    if training.max_grad_norm:
        accelerator.clip_grad_norm_([weight for _, weight in strategy.trainable()], training.max_grad_norm)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    state.examples_seen += len(examples)
    strategy.step_end(state.step)
    return Step(
        position=state.stage.position,
        step=state.step,
        epoch=epoch,
        loss=total,
        lr=learning_rate,
        seconds=time.perf_counter() - started,
        terms=dict(terms),
    )


def loss_and_terms(loss: Loss) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return a loss as a scalar, and its terms by name; a loss that is a single tensor has no terms.

    Raises MiclError if it is not a scalar, or if no gradient can be computed from it.
    """
    terms = loss if isinstance(loss, Mapping) else {}
    total = torch.stack(list(loss.values())).sum() if isinstance(loss, Mapping) else loss
    if total.ndim:
        raise MiclError(
            f"the strategy's loss has shape {tuple(total.shape)}", "A loss, or each of its terms, must be a scalar."
        )
    if not total.requires_grad:
        raise MiclError(
            "the strategy's loss does not depend on any trainable weight",
            "Activate an adapter in `begin`, and compute the loss without `detach` and `no_grad`.",
        )
    return total, terms


def _check_finite(loss: float, state: StageState) -> None:
    if not math.isfinite(loss):
        raise MiclError(
            f"the loss is {loss} at step {state.step + 1} of task {state.stage.position}",
            "Try a lower --learning-rate, or --precision fp32. The latest checkpoint is kept.",
        )
