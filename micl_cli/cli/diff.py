"""``micl diff``: compare two runs field by field."""

from __future__ import annotations

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo, echo_json
from micl_cli.cli.context import current_settings

EPILOG = """\b
Examples:
  micl diff 3f2a 91bc
  micl diff 3f2a @last --all
  micl diff 3f2a 91bc --json | jq .warnings

\b
Exit codes: 0 if the runs are equal in everything that decides scores, 1 if they are not."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("first", metavar="RUN", shell_complete=complete_runs)
@click.argument("second", metavar="RUN", shell_complete=complete_runs)
@click.option("--all", "everything", is_flag=True, help="Also show the fields in which the runs are equal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def diff(ctx: click.Context, first: str, second: str, everything: bool, as_json: bool) -> None:
    """Show how two runs differ: plan, data, base model, environment, recipe, scores and cost.

    The first lines say which fields of the plan make the ids differ, and warn if one plan gave
    different scores. Settings, data, base model, code, versions, device, precision and threads
    decide scores; the commit, the recipe, names and costs do not.
    """
    import shutil
    import sys

    from micl_cli.cli.console import wants_colour
    from micl_cli.report.diff import diff as diff_of
    from micl_cli.report.diff import diff_blocks
    from micl_cli.report.render import text
    from micl_cli.session import Session

    session = Session(current_settings())
    found = diff_of(*(session.report(session.resolve(run)) for run in (first, second)))
    if as_json:
        echo_json(found.as_json(everything=everything))
    else:
        width = shutil.get_terminal_size().columns
        echo(text.write(diff_blocks(found, everything=everything), width=width, colour=wants_colour(sys.stdout)))
    if not found.equal:
        ctx.exit(1)
