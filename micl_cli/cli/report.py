"""``micl report``: show scores, forgetting and cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo, note
from micl_cli.cli.context import current_settings
from micl_cli.cli.file_formats import chosen_format

if TYPE_CHECKING:
    from micl_cli.report.data import RunData
    from micl_cli.report.options import IntervalMethod, ReportOptions
    from micl_cli.report.plots.style import PlotFormat
    from micl_cli.session import Session

FORMATS = ["text", "md", "csv", "json", "latex", "html"]
SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex"}
EPILOG = """\b
Examples:
  micl report @last
  micl report 3f2a 91bc --format md > table.md
  micl report $(micl sweep --strategy finetune,ewc,joint --order order-1,order-2 --seed 0..2)
  micl report $(micl sweep ...) --summary -o table.md
  micl report 3f2a 91bc 77ab --summary --interval hierarchical --margin 2
  micl report @last --json | jq .runs[0].metrics.bwt
  micl report @last -o report.html
  micl report 3f2a 91bc --plots figures --plot-format pdf

\b
The summary has a row for each method. Its final scores, backward transfer (BWT) and scores right after
learning are in per cent of the final scores of joint learning (runs of the strategy joint with the same
base model, data and seed), so that metrics on different scales can be averaged. docs/scoring.md
describes its figures and statistics.

\b
The HTML report is one file that works offline: tables, plots and, for up to four runs, curves of the loss
and the stored answers, with small previews of their media if the tasks are prepared here."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_runs)
@click.option("--format", "style", default="text", type=click.Choice(FORMATS),
              help="Format of the report; by default as the suffix of the file says.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split of the scores; by default that of the run.",
)
@click.option(
    "--strict", is_flag=True, help="Refuse runs that come from different or unknown code, instead of marking them."
)
@click.option("--summary", "summary_only", is_flag=True, help="Show only the summary of the runs.")
@click.option(
    "--relative-to",
    type=click.Choice(["joint", "single"]),
    help="Strategy of the runs that scores are related to; by default joint, or single without runs of joint.",
)
@click.option(
    "--interval",
    default="t",
    type=click.Choice(["t", "bca", "hierarchical"]),
    help="95 % intervals by Student's t over seeds, BCa bootstrap over seeds, or bootstrap of seeds and test examples.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, min_open=True),
    metavar="POINTS",
    help="Call methods equivalent if the 90 % interval of their difference is within this margin.",
)
@click.option(
    "--predictions",
    "answers",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Number of answered examples of each task in an HTML report; 0 leaves out answers and media.",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write each plot to a file in this folder.",
)
@click.option(
    "--plot-format", default="svg", show_default=True, type=click.Choice(["svg", "pdf", "png"]), help="Format of plots."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to a file instead of stdout: .html, .md, .csv, .json, .tex or .txt.",
)
def report(
    runs: tuple[str, ...],
    style: str,
    as_json: bool,
    split: str | None,
    strict: bool,
    summary_only: bool,
    relative_to: str | None,
    interval: IntervalMethod,
    margin: float | None,
    answers: int,
    plots: Path | None,
    plot_format: PlotFormat,
    output: Path | None,
) -> None:
    """Show the scores, forgetting, cost and provenance of runs; summarise and compare several runs.

    RUN is an id, a prefix of one, a name, or @last. The report of several runs begins with a summary:
    means over seeds with 95 % intervals, and paired comparisons of methods over common seeds, with
    p values adjusted for the number of comparisons. Rows that come from different code are marked.
    """
    import shutil
    import sys

    from micl_cli.cli.console import wants_colour
    from micl_cli.io.files import write_text
    from micl_cli.report.code import check_same_code
    from micl_cli.report.options import ReportOptions
    from micl_cli.report.render import render
    from micl_cli.session import Session

    style = "json" if as_json else chosen_format(click.get_current_context(), style, output, SUFFIXES)
    session = Session(current_settings())
    ids = [session.resolve(run) for run in runs]
    examples = interval == "hierarchical"
    data = [session.report(run_id, split, examples=examples) for run_id in dict.fromkeys(ids)]
    if strict:
        check_same_code(data)
    options = ReportOptions(summary_only=summary_only, relative_to=relative_to, interval=interval, margin=margin)
    if plots is not None:
        _write_plots(session, data, options, plots, plot_format)
    width = shutil.get_terminal_size().columns
    colour = output is None and wants_colour(sys.stdout)
    if style == "html":
        text = _html(session, data, options, answers, output)
    else:
        text = render(data, style, width=width, colour=colour, options=options).rstrip("\n")
    if output is None:
        echo(text)
        return
    write_text(output, text + "\n")
    note(f"wrote a report of {len(data)} run{'s' * (len(data) > 1)} to {output}")


def _html(session: Session, data: Sequence[RunData], options: ReportOptions, answers: int, output: Path | None) -> str:
    """Return an HTML report. Raises UsageError if it would be written to a terminal."""
    import sys

    from micl_cli.errors import UsageError
    from micl_cli.session.report_page import report_page

    if output is None and sys.stdout.isatty():
        raise UsageError(
            "an HTML report is not shown in a terminal", "Name a file: -o report.html, or pipe it: > report.html"
        )
    return report_page(session, data, options, answers)


def _write_plots(
    session: Session, data: Sequence[RunData], options: ReportOptions, folder: Path, plot_format: PlotFormat
) -> None:
    from micl_cli.report.plots.catalogue import all_plots, write_plots
    from micl_cli.report.render import summaries_for

    with session.store_to_read() as store:
        steps = {} if options.summary_only else {run.id: store.steps(run.id) for run in data}
    summaries = summaries_for(data, options)
    files = write_plots(all_plots(data, summaries, steps, summary_only=options.summary_only), folder, plot_format)
    note(f"wrote {len(files)} plot{'s' * (len(files) != 1)} to {folder}")
