"""``micl push``: export a run's model to the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo, note
from micl_cli.cli.context import current_settings
from micl_cli.cli.export import FORMATS
from micl_cli.cli.plan_options import trust_option
from micl_cli.cli.status import DownloadBars, quiet_libraries

if TYPE_CHECKING:
    from micl_cli.api.export import ExportFormat

EPILOG = """\b
Examples:
  micl push @last hf:me/my-run --private
  micl push 3f2a hf:my-lab/order-1 --stage 2

\b
The token is that of huggingface_hub: log in with `hf auth login`, or set HF_TOKEN. To see what will be
uploaded, use `micl export RUN DIR`; an upload also leaves out the names of folders on this machine."""


@click.command("push", cls=Command, epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.argument("target", metavar="hf:OWNER/NAME")
@click.option(
    "--stage", type=click.IntRange(1), help="The stage after which the model is exported; by default the last."
)
@click.option("--format", "style", default="peft", type=click.Choice(FORMATS), help="The format of the export.")
@click.option("--private", is_flag=True, help="Make the new repository private.")
@trust_option
def push(run: str, target: str, stage: int | None, style: ExportFormat, private: bool, trust_remote_code: bool) -> None:
    """Export a run's model to the Hugging Face hub, with a model card.

    An earlier export in the repository is replaced; a repository with other files is not touched.
    """
    from micl_cli.session import Session
    from micl_cli.session.hub import push_run

    session = Session(current_settings(), progress=DownloadBars().update, trusted=trust_remote_code)
    with quiet_libraries():
        done = push_run(session, session.resolve(run), target, style, stage=stage, private=private)
    for text in done.notes:
        note(f"note: {text}")
    note(f"uploaded stage {done.position}")
    echo(done.url)
