"""The command ``micl``: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from micl_cli import __version__
from micl_cli.cli.console import fail, manner
from micl_cli.cli.groups import Lazy, LazyGroup, manner_options
from micl_cli.errors import Interrupted, MiclError
from micl_cli.settings import prepare_process

INTERRUPTED = 130
COMMANDS = {
    "prepare": Lazy("micl_cli.cli.prepare:prepare", "Make tasks ready to be learnt."),
    "learn": Lazy("micl_cli.cli.learn:learn", "Learn tasks one after another, and score them."),
    "sweep": Lazy("micl_cli.cli.sweep:sweep", "Learn a grid of strategies, orders and seeds."),
    "eval": Lazy("micl_cli.cli.eval:evaluate", "Score a run's model on tasks."),
    "report": Lazy("micl_cli.cli.report:report", "Show scores, forgetting and cost of runs."),
    "runs": Lazy("micl_cli.cli.runs:runs", "List, show and remove runs."),
    "plugins": Lazy("micl_cli.cli.plugins:plugins", "List and show plugins, and start a new one."),
    "backbones": Lazy("micl_cli.cli.backbones:backbones", "List models by name, and get their weights."),
    "cache": Lazy("micl_cli.cli.cache:cache", "List or remove what encoders made of media."),
    "config": Lazy("micl_cli.cli.config:config", "Show each setting and where it comes from."),
    "store": Lazy("micl_cli.cli.store:store", "Look after the run store."),
    "completion": Lazy("micl_cli.cli.completion:completion", "Print the completion script of a shell."),
}
"""Commands by name, in the order of work. Their modules are imported when they are used."""

EPILOG = """\b
Examples:
  micl learn --strategy moincl --tasks img_cap,aud_qa
  micl report @last

\b
Settings: flag > MICL_* > ./micl.toml > user config > default (see `micl config`).
Also read: MICL_STORE, the run store's URL.
Exit codes: 0 ok, 1 failed, 2 usage, 3 plugin, 4 the plan cannot work, 130 interrupted."""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EPILOG,
    params=manner_options(),
    context_settings={"auto_envvar_prefix": "MICL", "help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="micl", message="%(prog)s %(version)s")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="MICL_HOME",
    show_envvar=True,
    help="The folder that holds everything micl writes.",
)
@click.pass_context
def micl(ctx: click.Context, home: Path | None) -> None:
    """Continual learning of multimodal language models, from the command line."""
    if home is not None:
        _move_home(ctx, home)


def main() -> None:
    """Run ``micl`` with the words of the command line, and leave with its exit code."""
    prepare_process()
    if not sys.warnoptions:
        # What libraries will change one day concerns who calls them, and no user of micl.
        warnings.simplefilter("ignore", FutureWarning)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # What the terminal's encoding lacks is shown escaped, rather than ending the command.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())


def run(args: Sequence[str] | None = None) -> int:
    """Run ``micl`` with ``args`` (sys.argv's by default), tell what goes wrong, and return the exit code."""
    manner.reset()
    try:
        result = micl.main(args=args, prog_name="micl", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _hang_up()
    except Exception as error:
        return explain(error)
    return result if isinstance(result, int) else 0


def _move_home(ctx: click.Context, home: Path) -> None:
    """Let ``--home`` hold for all that reads the settings, processes started from here too."""
    before = os.environ.get("MICL_HOME")
    os.environ["MICL_HOME"] = str(home.expanduser().absolute())
    if before is None:
        ctx.call_on_close(lambda: os.environ.pop("MICL_HOME", None))
    else:
        ctx.call_on_close(lambda: os.environ.__setitem__("MICL_HOME", before))


def explain(error: Exception) -> int:
    """Tell what went wrong on stderr, and return the exit code."""
    if manner.debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, click.Abort):
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        fail("interrupted" if interrupted else "aborted", label="")
        return INTERRUPTED if interrupted else 1
    if isinstance(error, click.ClickException):
        fail(error.format_message(), _usage_hint(error))
        return error.exit_code
    if isinstance(error, MiclError):
        fail(error.message, error.hint, label="" if isinstance(error, Interrupted) else "error:")
        return error.exit_code
    text = " ".join(f"{type(error).__name__}: {error}".split())
    fail(text, "" if manner.debug else "This was not foreseen; run with --debug to see where it happened.")
    return 1


def _usage_hint(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"`{ctx.command_path} --help` tells how to use it." if ctx else ""


def _hang_up() -> int:
    """The reader of stdout has gone (``| head``): be quiet, also when Python flushes on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
