"""Curves over the optimiser steps of a run: the loss, and the validations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from micl_cli.records import StepRecord
from micl_cli.report.data import RunData
from micl_cli.report.plots.limits import common_scale, score_limits
from micl_cli.report.plots.style import MUTED, SERIES, Plot, label
from micl_cli.report.run_blocks import stage_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 400
"""A longer curve is drawn by means over equal numbers of steps."""
_WINDOW = 0.04
"""The part of a curve over which the bold line is averaged."""


def curves_plot(run: RunData, steps: Sequence[StepRecord]) -> Plot | None:
    """Return the loss over all steps, and the validations below it; None without steps."""
    losses = [step.loss for step in steps if step.loss is not None]
    if not losses:
        return None
    criteria = list(dict.fromkeys(each.criterion for each in run.validations))
    return Plot(
        name="curves",
        title=f"Loss of each step{' and validations' if criteria else ''}",
        reading="Bold: moving average of the loss. A star marks the validation whose weights were used.",
        size=(6.8, 2.3 + 1.6 * len(criteria)),
        draw=partial(_draw, run=run, steps=steps, criteria=criteria),
    )


def _draw(figure: Figure, run: RunData, steps: Sequence[StepRecord], criteria: Sequence[str]) -> None:
    starts = _starts(steps)
    grid = figure.add_gridspec(1 + len(criteria), 1, height_ratios=[1.3, *[1] * len(criteria)])
    top = figure.add_subplot(grid[0, 0])
    _losses(top, steps, starts)
    below = [figure.add_subplot(grid[1 + row, 0], sharex=top) for row in range(len(criteria))]
    for axes, criterion in zip(below, criteria, strict=True):
        _validations(axes, run, criterion, starts)
    _stages([top, *below], run, starts)
    (below or [top])[-1].set_xlabel("step")


def _starts(steps: Sequence[StepRecord]) -> dict[int, int]:
    """Return the number of steps before each stage."""
    positions = sorted({step.position for step in steps})
    counts = [max(step.step for step in steps if step.position == position) for position in positions]
    return dict(zip(positions, accumulate([0, *counts[:-1]]), strict=True))


def _losses(axes: Axes, steps: Sequence[StepRecord], starts: dict[int, int]) -> None:
    for position, start in starts.items():
        points = [(start + s.step, s.loss) for s in steps if s.position == position and s.loss is not None]
        if not points:
            continue
        x, y = _thinned(np.array(points, dtype=np.float64))
        axes.plot(x, y, color=SERIES[0], alpha=0.35, linewidth=0.8)
        axes.plot(x, _smoothed(y), color=SERIES[0], linewidth=1.8)
    axes.set_ylabel("loss, nats")


def _thinned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of at most MAX_POINTS means of consecutive points."""
    parts = np.array_split(points, min(len(points), MAX_POINTS))
    means = np.array([part.mean(axis=0) for part in parts])
    return means[:, 0], means[:, 1]


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return the centred moving average; at the ends, over the values that are there."""
    window = max(1, round(_WINDOW * len(values)))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    low = np.maximum(np.arange(len(values)) - window, 0)
    high = np.minimum(np.arange(len(values)) + window + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _validations(axes: Axes, run: RunData, criterion: str, starts: dict[int, int]) -> None:
    for position, start in starts.items():
        own = [each for each in run.validations if each.position == position and each.criterion == criterion]
        shown = [each for each in own if not each.final]
        x = [start + each.step for each in shown]
        axes.plot(x, [each.value for each in shown], color=SERIES[2], marker="o", markersize=3.5)
        best = [each for each in shown if each.best][-1:]
        axes.plot([start + e.step for e in best], [e.value for e in best], color=SERIES[1], marker="*", markersize=11)
    axes.set_ylabel("validation\nloss, nats" if criterion == "loss" else f"validation\n{label(criterion)}, x100")
    metrics = {task: score.metric for task, score in run.latest.items()}
    scale = common_scale(run.scales.get(task) for task, metric in metrics.items() if metric == criterion)
    axes.set_ylim(score_limits(scale, (each.value for each in run.validations if each.criterion == criterion)))
    for line in axes.lines:
        line.set_clip_on(False)


def _stages(panels: Sequence[Axes], run: RunData, starts: dict[int, int]) -> None:
    """Separate the stages, and name them above the first panel."""
    names = {stage.position: stage_label(run, stage) for stage in run.stages}
    for position, start in starts.items():
        for axes in panels:
            if start:
                axes.axvline(start + 0.5, color=MUTED, linewidth=0.8, linestyle="--")
        place: dict[str, Any] = {"xy": (start + 0.5, 1), "xycoords": ("data", "axes fraction"), "xytext": (2, 3)}
        panels[0].annotate(label(names.get(position, f"{position}"), 14), **place, textcoords="offset points", size=7.5)
