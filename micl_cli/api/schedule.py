"""The optimiser steps of a stage, and the learning rate at each of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi


@dataclass(frozen=True)
class Schedule:
    """The number of optimiser steps of a stage and of each of its epochs, and the schedule of the learning rate.

    ``warmup`` is the fraction of the steps in which the rate rises linearly to its peak; it then falls to zero along
    half a cosine.
    """

    steps: int = 0
    steps_per_epoch: int = 1
    warmup: float = 0.0

    def factor(self, step: int) -> float:
        """Return the learning rate of a step (from 0) as a share of its peak, from 0 to 1."""
        warmup = ceil(self.warmup * self.steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, self.steps - warmup)
        return (1 + cos(pi * progress)) / 2
