"""The cost of a run as bars."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from micl_cli.records import StageRecord
from micl_cli.report.data import RunData, time_columns
from micl_cli.report.plots.style import SERIES, Plot, label
from micl_cli.report.run_blocks import stage_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BYTES = (("peak memory, MB", "peak_bytes", 1e6), ("stored, MB", "stored_bytes", 1e6))
_TIMES = {"before": SERIES[4], "seconds": SERIES[0], "after": SERIES[1]}
_MEANINGS = {"before": "pass before", "seconds": "learning", "after": "pass after"}


def cost_plot(run: RunData) -> Plot | None:
    """Return time, peak memory and size on disk of each stage; None before the first stage."""
    stages = [stage for stage in run.stages if stage.seconds or stage.steps]
    if not stages:
        return None
    return Plot(
        name="cost",
        title="Cost of each stage",
        reading="Time with the passes over data before and after learning, peak memory, size of the checkpoint.",
        size=(6.8, 0.9 + 0.34 * len(stages)),
        draw=partial(_draw, run=run, stages=stages),
    )


def _draw(figure: Figure, run: RunData, stages: Sequence[StageRecord]) -> None:
    panels = figure.subplots(1, 1 + len(_BYTES), sharey=True)
    _times(panels[0], stages)
    for axes, (title, name, unit) in zip(panels[1:], _BYTES, strict=True):
        axes.barh(range(len(stages)), [getattr(stage, name) / unit for stage in stages], color=SERIES[3], height=0.6)
        axes.set_title(title)
    for axes in panels:
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(stages)), [label(stage_label(run, stage), 20) for stage in stages])
    panels[0].invert_yaxis()


def _times(axes: Axes, stages: Sequence[StageRecord]) -> None:
    """Draw one bar for each stage, stacked of the passes and of learning."""
    left = [0.0] * len(stages)
    shown = time_columns(stages)
    for title, name in shown.items():
        seconds = [getattr(stage, name) for stage in stages]
        axes.barh(range(len(stages)), seconds, left=left, color=_TIMES[title], height=0.6, label=_MEANINGS[title])
        left = [start + each for start, each in zip(left, seconds, strict=True)]
    axes.set_title("seconds")
    if len(shown) > 1:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.2)}
        axes.legend(**place, ncols=3, fontsize=7, handlelength=1, columnspacing=1)
