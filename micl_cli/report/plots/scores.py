"""Plots of the scores of a run: over the stages, and the learning and forgetting of each task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from micl_cli.report.blocks import labels
from micl_cli.report.data import RunData, Scale
from micl_cli.report.plots.limits import common_scale, score_limits
from micl_cli.report.plots.style import MUTED, SERIES, SURFACE, Plot, label, legend, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panels = dict[str, list[int]]
"""The numbers of tasks (from 1) by the metric that scores them."""


def panels_of(run: RunData) -> Panels:
    """Return the scored tasks by metric, since scores by different metrics do not share an axis."""
    panels: Panels = {}
    for i, task in enumerate(run.tasks, 1):
        if any(run.r[t, i] is not None for t in range(run.r.size + 1)):
            score = run.latest.get(task)
            panels.setdefault(score.metric if score else "score", []).append(i)
    return panels


def score_lines_plot(run: RunData) -> Plot | None:
    """Return the score of each task over the stages; None without two scored stages."""
    panels = panels_of(run)
    stages = [t for t in range(run.r.size + 1) if any(run.r[t, i] is not None for i in run.r.tasks)]
    if len(stages) < 2:
        return None
    return Plot(
        name="stages",
        title="Score of each task over the stages, x100",
        reading="A larger marker is the stage in which the task was learnt; 0 is before learning.",
        size=(6.8, 0.5 + sum(map(_height, panels.values()))),
        draw=partial(_draw_lines, run=run, panels=panels, stages=stages),
    )


def learning_plot(run: RunData) -> Plot | None:
    """Return the scores of each task right after it was learnt and at the end; None if neither is known."""
    panels = panels_of(run)
    known = [i for i in run.r.tasks if run.r[i, i] is not None or run.r[run.r.size, i] is not None]
    if not known:
        return None
    return Plot(
        name="forgetting",
        title="Learning and forgetting of each task, x100",
        reading="From before learning (bar), to right after learning (circle), to the final score (arrow).",
        size=(6.8, 0.3 + sum(0.55 + 0.32 * len(tasks) for tasks in panels.values())),
        draw=partial(_draw_learning, run=run, panels=panels),
    )


def _axes(figure: Figure, panels: Panels, heights: Sequence[float]) -> list[Axes]:
    grid = figure.add_gridspec(len(panels), 1, height_ratios=list(heights))
    return [figure.add_subplot(grid[row, 0]) for row in range(len(panels))]


def _height(tasks: Sequence[int]) -> float:
    """Return the height of a panel of lines in inches, with room for its legend."""
    return max(1.9, 0.4 + 0.19 * len(tasks))


def _draw_lines(figure: Figure, run: RunData, panels: Panels, stages: Sequence[int]) -> None:
    names = labels(run.tasks)
    heights = list(map(_height, panels.values()))
    for axes, (metric, tasks) in zip(_axes(figure, panels, heights), panels.items(), strict=True):
        for i in tasks:
            points = [(t, value) for t in stages if (value := run.r[t, i]) is not None]
            look = series(i - 1)
            axes.plot([t for t, _ in points], [value for _, value in points], label=label(names[i - 1]), **look)
            learnt = run.r[i, i]
            if learnt is not None:
                axes.plot([i], [learnt], color=look["color"], marker=look["marker"], markersize=8, linestyle="none")
        axes.set_ylabel(label(metric))
        axes.set_xticks(stages)
        axes.set_xlim(stages[0] - 0.2, stages[-1] + 0.2)
        axes.set_ylim(score_limits(_scale(run, tasks), (run.r[t, i] for t in stages for i in tasks)))
        _show_whole_markers(axes)
        legend(axes)
    axes.set_xlabel("stage")


def _draw_learning(figure: Figure, run: RunData, panels: Panels) -> None:
    names, last = labels(run.tasks), run.r.size
    heights = [len(tasks) + 1 for tasks in panels.values()]
    for axes, (metric, tasks) in zip(_axes(figure, panels, heights), panels.items(), strict=True):
        for y, i in enumerate(tasks):
            _learning_line(axes, y, run.r[0, i], run.r[i, i], run.r[last, i])
        axes.set_yticks(range(len(tasks)), [label(names[i - 1]) for i in tasks])
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.set_xlabel(label(metric))
        axes.grid(axis="y", visible=False)
        shown = [row for i in tasks for row in (run.r[0, i], run.r[i, i], run.r[last, i])]
        axes.set_xlim(score_limits(_scale(run, tasks), shown))
        _show_whole_markers(axes)


def _scale(run: RunData, tasks: Sequence[int]) -> Scale | None:
    """Return the scale of the tasks (from 1) of a panel."""
    return common_scale(run.scales.get(run.tasks[i - 1]) for i in tasks)


def _show_whole_markers(axes: Axes) -> None:
    """Draw markers at the limits of a scale as a whole."""
    for line in axes.lines:
        line.set_clip_on(False)


def _learning_line(axes: Axes, y: int, before: float | None, learnt: float | None, final: float | None) -> None:
    lost, kept = SERIES[1], SERIES[0]
    if before is not None and learnt is not None:
        axes.plot([before, learnt], [y, y], color=MUTED, linewidth=1, linestyle=":")
        axes.plot([before], [y], color=MUTED, marker="|", markersize=9)
    if learnt is not None and final is not None:
        colour = lost if final < learnt else kept
        axes.plot([learnt, final], [y, y], color=colour, linewidth=2)
        axes.plot([final], [y], color=colour, marker="<" if final < learnt else ">", markersize=7)
    elif final is not None:
        axes.plot([final], [y], color=kept, marker=">", markersize=7)
    if learnt is not None:
        axes.plot([learnt], [y], marker="o", markersize=5, markerfacecolor=SURFACE, markeredgecolor=kept)
