"""One optimiser step: gradients over its batches, constrained, clipped and used."""

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
    """Take the next optimiser step of a stage, in as many batches as gradients are accumulated over.

    Raises MiclError where the loss is not finite, or is no scalar that depends on a weight that learns.
    """
    strategy, accelerator, training = components.strategy, components.accelerator, components.plan.training
    started, epoch = time.perf_counter(), state.epoch
    learning_rate = state.set_learning_rate()
    examples = state.next_examples()
    total, terms = 0.0, defaultdict[str, float](float)
    for start in range(0, len(examples), training.batch_size):
        part = examples[start : start + training.batch_size]
        share = len(part) / len(examples)
        with accelerator.autocast():
            loss, named = loss_and_terms(strategy.loss(strategy.batch(part)))
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
    """Return a loss as a scalar, with its terms by name, of which there are none where it is one tensor.

    Raises MiclError where it is no scalar, or where no gradient can be computed from it.
    """
    terms = loss if isinstance(loss, Mapping) else {}
    total = torch.stack(list(loss.values())).sum() if isinstance(loss, Mapping) else loss
    if total.ndim:
        raise MiclError(
            f"the strategy's loss has shape {tuple(total.shape)}", "A loss, or each term of it, is a scalar."
        )
    if not total.requires_grad:
        raise MiclError(
            "the strategy's loss depends on no weight that learns",
            "Activate an adapter in `begin`, and compute the loss without `detach` and `no_grad`.",
        )
    return total, terms


def _check_finite(loss: float, state: StageState) -> None:
    if not math.isfinite(loss):
        raise MiclError(
            f"the loss is {loss} at step {state.step + 1} of task {state.stage.position}",
            "Try a lower --learning-rate, or --precision fp32; the steps before are kept.",
        )
