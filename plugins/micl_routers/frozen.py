"""Frozen features in batches, and routes from probabilities."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, Progress, Route

BATCH_SIZE = 64


def feature_pass(backbone: Backbone, examples: Sequence[Example]) -> Generator[Progress, None, Tensor]:
    """Yield progress and return [n, D] features, in double precision for closed forms, on the CPU."""
    parts = []
    for start in range(0, len(examples), BATCH_SIZE):
        parts.append(backbone.features(examples[start : start + BATCH_SIZE]))
        yield Progress(min(start + BATCH_SIZE, len(examples)), len(examples), "features")
    return torch.cat(parts).double().cpu()


def features(backbone: Backbone, examples: Sequence[Example]) -> Tensor:
    """Return what ``feature_pass`` does, without progress."""
    steps = feature_pass(backbone, examples)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Tensor = end.value
            return found


def routes(names: Sequence[str], probabilities: Tensor) -> list[Route]:
    """Return the likeliest of ``names`` for each row of ``probabilities`` [n, len(names)], with its margin."""
    ordered = probabilities.sort(dim=1, descending=True, stable=True)
    best = ordered.values
    margins = best[:, 0] - best[:, 1] if len(names) > 1 else torch.ones(len(best))
    chosen = ordered.indices[:, 0].tolist()
    return [Route(names[i], margin) for i, margin in zip(chosen, margins.clamp(0, 1).tolist(), strict=True)]
