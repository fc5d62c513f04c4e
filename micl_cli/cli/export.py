"""``micl export``: write a run's model to a folder for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo, note
from micl_cli.cli.context import current_settings
from micl_cli.cli.plan_options import trust_option
from micl_cli.cli.status import DownloadBars, quiet_libraries

if TYPE_CHECKING:
    from micl_cli.api.export import ExportFormat

FORMATS = ["peft", "merged", "vllm"]
EPILOG = """\b
Examples:
  micl export @last out
  micl export 3f2a out --stage 2 --force
  micl export @last merged --format merged

\b
Formats: peft (adapters in the layout of peft, connectors and router; methods with several adapters have
a folder for each), merged (whole weights with the adapter merged into them), vllm (adapters for a vLLM
server, and its command line). README.md in the folder is the model card, with code that loads the
export. In Python: micl_cli.load_export("out").answer("What is it?", image="cat.png")"""


@click.command("export", cls=Command, epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--stage", type=click.IntRange(1), help="The stage after which the model is exported; by default the last."
)
@click.option("--format", "style", default="peft", type=click.Choice(FORMATS), help="The format of the export.")
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR.")
@trust_option
def export(
    run: str, folder: Path, stage: int | None, style: ExportFormat, force: bool, trust_remote_code: bool
) -> None:
    """Write a run's model to a folder, with a model card that shows how to load it.

    DIR is a new or an empty folder, or with --force that of an earlier export. It is written as a whole or not at all.
    """
    from micl_cli.session import Session
    from micl_cli.session.export import export_run

    session = Session(current_settings(), progress=DownloadBars().update, trusted=trust_remote_code)
    with quiet_libraries():
        done = export_run(session, session.resolve(run), folder, style, stage=stage, force=force)
    for text in done.notes:
        note(f"note: {text}")
    names = f"{len(done.adapters)} adapter{'s' * (len(done.adapters) != 1)}"
    names = "the merged weights" if style == "merged" else names
    note(f"exported {names} of stage {done.position}; {done.path / 'README.md'} shows how to load it")
    echo(str(done.path))
