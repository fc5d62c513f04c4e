"""The summary of several runs: each figure of each method, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from micl_cli.report.methods import MAX_LABEL
from micl_cli.report.plots.limits import Limits, change_limits, common_scale, score_limits
from micl_cli.report.plots.style import MARKERS, MUTED, SERIES, Plot, label
from micl_cli.report.summary import Method, Summary
from micl_cli.report.summary_figures import CHANGES, RAW, SummaryFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 4
_LONGEST = MAX_LABEL + 8
"""The longest label that is not truncated: labels that differ stay different."""
_LETTER = 0.07
"""The mean width of a letter in inches."""


def methods_plot(summary: Summary, number: int = 0) -> Plot | None:
    """Return the figures of the first table of a summary, or raw figures if it has none; None without scores.

    ``number`` distinguishes the summary from others in the report, from 1; 0 if it is the only one.
    """
    figures = [figure for figure in summary.headline if _measured(summary, figure)][:MAX_PANELS]
    figures = figures or [figure for figure in RAW if _measured(summary, figure)]
    if not figures:
        return None
    return Plot(
        name=f"methods-{number}" if number else "methods",
        title="Methods: means over seeds with 95 % intervals",
        reading="A point is the mean over seeds, the line its 95 % interval; without a line there are too few seeds.",
        size=(_label_width(summary.methods) + 1.7 * len(figures), 0.9 + 0.34 * len(summary.methods)),
        draw=partial(_draw, methods=summary.methods, figures=figures),
    )


def _label_width(methods: Sequence[Method]) -> float:
    """Return the width of the longest label in inches."""
    return max([1.4, *(0.3 + _LETTER * len(label(method.label, _LONGEST)) for method in methods)])


def _measured(summary: Summary, figure: SummaryFigure) -> bool:
    return any(figure.name in method.means for method in summary.methods)


def _draw(figure: Figure, methods: Sequence[Method], figures: Sequence[SummaryFigure]) -> None:
    panels = figure.subplots(1, len(figures), sharey=True, squeeze=False)[0]
    for number, (axes, each) in enumerate(zip(panels, figures, strict=True)):
        for y, method in enumerate(methods):
            _interval(axes, y, method, each.name, number)
        axes.set_title(f"{each.title}, %" if each.relative else label(each.title))
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlim(_limits(each, methods))
        for line in axes.lines:
            line.set_clip_on(False)
    panels[0].set_yticks(range(len(methods)), [label(method.label, _LONGEST) for method in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)


def _limits(figure: SummaryFigure, methods: Sequence[Method]) -> Limits:
    """Return the limits of the axis of a figure."""
    means = [method.means[figure.name] for method in methods if figure.name in method.means]
    values = [value for mean in means for value in (mean.mean, mean.low, mean.high)]
    if figure.name in CHANGES:
        return change_limits(values)
    runs = [] if figure.relative else [run for method in methods for run in method.runs]
    scales = (run.scales.get(run.tasks[i - 1]) for run in runs for _, i in figure.weights(run))
    return score_limits(common_scale(scales), values)


def _interval(axes: Axes, y: int, method: Method, name: str, number: int) -> None:
    mean = method.means.get(name)
    if mean is None:
        return
    if mean.low is not None and mean.high is not None:
        axes.plot([mean.low, mean.high], [y, y], color=MUTED, linewidth=1.4)
    axes.plot([mean.mean], [y], color=SERIES[number % len(SERIES)], marker=MARKERS[0], markersize=6)
