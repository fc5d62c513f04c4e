"""``micl report``: show scores, forgetting and cost."""

from __future__ import annotations

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo
from micl_cli.cli.context import current_settings

FORMATS = ["text", "md", "csv", "json", "latex"]
EPILOG = """\b
Examples:
  micl report @last
  micl report 3f2a 91bc --format md > table.md
  micl report $(micl sweep --strategy finetune,ewc --order order-1 --seed 0..2)
  micl report @last --json | jq .runs[0].metrics.bwt"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_runs)
@click.option("--format", "style", default="text", type=click.Choice(FORMATS), help="Format of the report.")
@click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split of the scores; by default that of the run.",
)
@click.option("--strict", is_flag=True, help="Refuse runs of different or unknown code, instead of marking them.")
def report(runs: tuple[str, ...], style: str, as_json: bool, split: str | None, strict: bool) -> None:
    """Show the R matrix, forgetting with its formulas, cost and provenance; compare several runs.

    RUN is an id, a prefix of one, a name, or @last. Runs of one plan with different seeds are also
    shown as a group, with means and 95 % confidence intervals; strategies with common orders and
    seeds are compared in pairs. Rows that come from different code are marked.
    """
    import shutil
    import sys

    from micl_cli.cli.console import wants_colour
    from micl_cli.report.code import check_same_code
    from micl_cli.report.render import render
    from micl_cli.session import Session

    session = Session(current_settings())
    ids = [session.resolve(run) for run in runs]
    data = [session.report(run_id, split) for run_id in dict.fromkeys(ids)]
    if strict:
        check_same_code(data)
    width = shutil.get_terminal_size().columns
    echo(render(data, "json" if as_json else style, width=width, colour=wants_colour(sys.stdout)).rstrip("\n"))
