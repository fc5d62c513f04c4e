"""Frozen features, batch by batch, and routes from probabilities."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, Progress, Route

BATCH_SIZE = 64


def feature_pass(backbone: Backbone, examples: Sequence[Example]) -> Generator[Progress, None, Tensor]:
    """Yield progress and return the features [n, D] on the CPU, in float64 for closed-form solutions."""
    batches = []
    for start in range(0, len(examples), BATCH_SIZE):
        batches.append(backbone.features(examples[start : start + BATCH_SIZE]))
        yield Progress(min(start + BATCH_SIZE, len(examples)), len(examples), "features")
    return torch.cat(batches).double().cpu()


def features(backbone: Backbone, examples: Sequence[Example]) -> Tensor:
    """Return the features [n, D] of ``feature_pass``, discarding its progress."""
    steps = feature_pass(backbone, examples)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            computed: Tensor = end.value
            return computed


def routes(names: Sequence[str], probabilities: Tensor) -> list[Route]:
    """Return the most probable of ``names`` for each row of ``probabilities`` [n, len(names)], with its margin.

    A task that is not to be chosen has the probability -inf.
    """
    ordered = probabilities.sort(dim=1, descending=True, stable=True)
    best = ordered.values
    margins = best[:, 0] - best[:, 1] if len(names) > 1 else torch.ones(len(best))
    chosen = ordered.indices[:, 0].tolist()
    return [Route(names[i], margin) for i, margin in zip(chosen, margins.clamp(0, 1).tolist(), strict=True)]


def among(names: Sequence[str], tasks: Sequence[Sequence[str]], values: Tensor) -> Tensor:
    """Return ``values`` [n, len(names)] with -inf where a name is not one of the row's ``tasks``."""
    excluded = [[name not in own for name in names] for own in tasks]
    return values.masked_fill(torch.tensor(excluded, device=values.device).view(values.shape), -torch.inf)
