"""The number of optimiser steps of a stage."""

from __future__ import annotations

from math import ceil

from micl_cli.plan import Training


def steps_in_epoch(training: Training, examples: int) -> int:
    """Return the number of optimiser steps in one pass over a number of examples."""
    return max(1, ceil(examples / (training.batch_size * training.accumulation)))


def planned_steps(training: Training, examples: int, tasks: int) -> int:
    """Return the number of optimiser steps of a stage with ``tasks`` tasks, unless it is stopped early."""
    epochs = training.epochs * steps_in_epoch(training, examples)
    return min(epochs, training.max_steps * tasks) if training.max_steps else epochs
