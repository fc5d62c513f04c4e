"""One optimiser step: accumulate gradients over batches, constrain and clip them, and update the weights."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from micl_cli.api.backbone import Batch
from micl_cli.api.events import Step
from micl_cli.api.strategy import WHOLE_LOSS, Loss, Strategy, joined
from micl_cli.api.task import Example
from micl_cli.errors import MiclError
from micl_cli.training.read_ahead import STEPS

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents
    from micl_cli.training.state import StageState


def train_step(components: RunComponents, state: StageState) -> Step:
    """Take the next optimiser step of a stage, with gradients accumulated over up to ``accumulation`` batches.

    Raises MiclError if the loss is not finite, not a scalar, or does not depend on a trainable weight.
    """
    strategy, accelerator, training = components.strategy, components.accelerator, components.plan.training
    started, epoch = time.perf_counter(), state.epoch
    learning_rate = state.set_learning_rate()
    examples = state.next_examples()
    if components.features.ahead.active:
        components.read_ahead(state.upcoming(STEPS))
    total, terms = accumulate_gradients(components, examples)
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
        terms=terms,
    )


def accumulate_gradients(components: RunComponents, examples: Sequence[Example]) -> tuple[float, dict[str, float]]:
    """Add the gradients of a step's loss to those of the weights, and return the loss and its terms by name.

    In each batch, a term is weighed by the share of its population that the batch has, so that the sum over the batches
    is the mean over the population of the step. Only one batch at a time has a graph.
    """
    strategy, accelerator = components.strategy, components.accelerator
    with accelerator.autocast():
        batches = split_step(strategy, examples, components.plan.training.batch_size)
    summed, sums, totals = 0.0, defaultdict[str, float](float), dict[str, int]()
    for batch in batches:
        with accelerator.autocast():
            loss = strategy.loss(batch)
            terms = loss if isinstance(loss, Mapping) else {WHOLE_LOSS: loss}
            for name in terms.keys() - totals.keys():
                totals[name] = sum(strategy.population(name, each) for each in batches)
            weighed = {n: term * _share(strategy.population(n, batch), totals[n]) for n, term in terms.items()}
            total, named = loss_and_terms(weighed if isinstance(loss, Mapping) else weighed[WHOLE_LOSS])
        accelerator.backward(total)
        summed += float(total.detach())
        for name, term in named.items():
            sums[name] += float(term.detach())
    return summed, dict(sums)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def split_step(strategy: Strategy, examples: Sequence[Example], batch_size: int) -> list[Batch]:
    """Return the batches of an optimiser step, with at most ``batch_size`` of the drawn ``examples`` each.

    Examples that the strategy adds are shared out among the batches; every batch has the groups of the step.
    """
    if len(examples) <= batch_size:
        return [strategy.batch(examples)]
    if type(strategy).batch is Strategy.batch:
        members, groups = joined(strategy.step_examples(examples))
    else:
        whole = strategy.batch(examples)
        members, groups = list(whole.examples), dict(whole.groups)
    return [
        strategy.backbone.batch(
            [members[index] for index in part],
            {name: [at for at, index in enumerate(part) if index in own] for name, own in groups.items()},
        )
        for part in _parts(len(members), groups, len(examples), batch_size)
    ]


def _parts(count: int, groups: Mapping[str, Sequence[int]], drawn: int, batch_size: int) -> Iterator[list[int]]:
    """Yield the indices of the examples of each batch: as large a share of every group as of the drawn examples."""
    alike = defaultdict[tuple[str, ...], list[int]](list)
    for index in range(count):
        alike[tuple(name for name, own in groups.items() if index in own)].append(index)
    for start in range(0, drawn, batch_size):
        end = min(start + batch_size, drawn)
        bounds = [(own, ceil(len(own) * start / drawn), ceil(len(own) * end / drawn)) for own in alike.values()]
        if part := sorted(index for own, first, last in bounds for index in own[first:last]):
            yield part


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
