"""All plots of runs, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from micl_cli.errors import MiclError
from micl_cli.io.files import write_bytes
from micl_cli.records import StepRecord
from micl_cli.report.data import RunData
from micl_cli.report.plots.cost import cost_plot
from micl_cli.report.plots.curves import curves_plot
from micl_cli.report.plots.heat_map import routing_plot, score_matrix_plot
from micl_cli.report.plots.scores import learning_plot, score_lines_plot
from micl_cli.report.plots.style import Plot, PlotFormat

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary


def run_plots(run: RunData, steps: Sequence[StepRecord] = ()) -> dict[str, Plot]:
    """Return all plots of a run by name, in the order of a report, without those for which there is no data."""
    plots = (
        score_matrix_plot(run),
        score_lines_plot(run),
        learning_plot(run),
        curves_plot(run, steps),
        cost_plot(run),
        routing_plot(run),
    )
    return {plot.name: plot for plot in plots if plot}


def summary_plots(summaries: Sequence[Summary]) -> list[Plot]:
    """Return the plot of each summary."""
    from micl_cli.report.plots.methods import methods_plot

    several = len(summaries) > 1
    plots = [methods_plot(each, number if several else 0) for number, each in enumerate(summaries, 1)]
    return [plot for plot in plots if plot]


def all_plots(
    runs: Sequence[RunData],
    summaries: Sequence[Summary],
    steps: Mapping[str, Sequence[StepRecord]],
    *,
    summary_only: bool = False,
) -> list[Plot]:
    """Return the plots of summaries and runs under names of their own, which begin with the id of the run."""
    of_runs = [
        replace(plot, name=f"{run.id}-{plot.name}")
        for run in ([] if summary_only else runs)
        for plot in run_plots(run, steps.get(run.id, ())).values()
    ]
    return [*summary_plots(summaries), *of_runs]


def write_plots(plots: Sequence[Plot], folder: Path, format: PlotFormat) -> list[Path]:
    """Write plots to ``folder``, which is made if it is missing. Returns the files. Raises MiclError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Name a folder that can be made and written to."
        raise MiclError(f"cannot write plots to {folder}: {error.strerror or error}", hint) from error
    files = [folder / f"{plot.name}.{format}" for plot in plots]
    for file, plot in zip(files, plots, strict=True):
        write_bytes(file, plot.image(format))
    return files
