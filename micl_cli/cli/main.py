"""The command ``micl``: its subcommands, error messages and exit codes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from micl_cli import __version__
from micl_cli.cli.console import fail, output
from micl_cli.cli.groups import Lazy, LazyGroup, output_flags
from micl_cli.cli.logs import show_messages
from micl_cli.errors import Interrupted, MiclError, nearest
from micl_cli.redaction import redact
from micl_cli.settings import prepare_process

INTERRUPTED = 130
COMMANDS = {
    "prepare": Lazy("micl_cli.cli.prepare:prepare", "Prepare tasks for learning."),
    "learn": Lazy("micl_cli.cli.learn:learn", "Learn a sequence of tasks, and score after each."),
    "sweep": Lazy("micl_cli.cli.sweep:sweep", "Learn a grid of strategies, orders and seeds."),
    "tune": Lazy("micl_cli.cli.tune:tune", "Tune strategies on validation data."),
    "eval": Lazy("micl_cli.cli.eval:evaluate", "Score a run's model on tasks."),
    "report": Lazy("micl_cli.cli.report:report", "Show scores, forgetting and cost of runs."),
    "board": Lazy("micl_cli.cli.board:board", "Show runs and sweeps in a browser while they are learnt."),
    "diff": Lazy("micl_cli.cli.diff:diff", "Show what two runs differ in."),
    "ask": Lazy("micl_cli.cli.ask:ask", "Ask a run's model about images, audio, video or text."),
    "serve": Lazy("micl_cli.cli.serve:serve", "Serve a run's model over HTTP to OpenAI clients."),
    "predictions": Lazy("micl_cli.cli.predictions:predictions", "Show or export the answers of a run."),
    "score": Lazy("micl_cli.cli.score:score", "Score files of predictions."),
    "export": Lazy("micl_cli.cli.export:export", "Write a run's model to a folder for use elsewhere."),
    "push": Lazy("micl_cli.cli.push:push", "Export a run's model to the Hugging Face hub."),
    "tasks": Lazy("micl_cli.cli.tasks:tasks", "List, show, create and remove tasks."),
    "runs": Lazy("micl_cli.cli.runs:runs", "List, show, name, tag and remove runs."),
    "plugins": Lazy("micl_cli.cli.plugins:plugins", "List, show and create plugins."),
    "backbones": Lazy("micl_cli.cli.backbones:backbones", "List models, and download their weights."),
    "cache": Lazy("micl_cli.cli.cache:cache", "List or remove cached encoder features."),
    "config": Lazy("micl_cli.cli.config:config", "Show settings and where they come from."),
    "doctor": Lazy("micl_cli.cli.doctor:doctor", "Check the installation, and say how to fix what is wrong."),
    "store": Lazy("micl_cli.cli.store:store", "Check, locate and upgrade the run store."),
    "completion": Lazy("micl_cli.cli.completion:completion", "Print a shell completion script."),
}
"""Commands by name, in order of use. Their modules are imported on use."""

EPILOG = """\b
Examples:
  micl learn --strategy moincl --tasks img_cap,aud_qa
  micl report @last

Settings: flag > MICL_* > ./micl.toml > user config > default (see `micl config`).
MICL_STORE sets the URL of the run store.

Exit codes: 0 ok, 1 failed, 2 usage error, 3 plugin error, 4 plan cannot be carried out, 130 interrupted."""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EPILOG,
    params=output_flags(),
    context_settings={"auto_envvar_prefix": "MICL", "help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="micl", message="%(prog)s %(version)s")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="MICL_HOME",
    show_envvar=True,
    help="The folder that micl reads and writes.",
)
def micl(home: Path | None) -> None:
    """Continual learning of multimodal language models, from the command line."""
    # current_settings() reads --home.


def main() -> None:
    """Run ``micl`` with the arguments of the process, and exit with its exit code."""
    prepare_process()
    if "_MICL_COMPLETE" in os.environ:
        from micl_cli.cli.shells import register

        register()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Escape characters that the terminal cannot encode, instead of raising an error.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())


def run(args: Sequence[str] | None = None) -> int:
    """Run ``micl`` with ``args`` (by default those of the process), show errors, and return the exit code."""
    output.reset()
    show_messages()
    try:
        result = micl.main(args=args, prog_name="micl", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _hang_up()
    except Exception as error:
        return show_error(error)
    return result if isinstance(result, int) else 0


def show_error(error: Exception) -> int:
    """Write an error to stderr, and return its exit code."""
    if output.debug:
        import traceback

        sys.stderr.write(redact("".join(traceback.format_exception(error))))
    if isinstance(error, click.Abort):
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        fail("interrupted" if interrupted else "aborted", label="")
        return INTERRUPTED if interrupted else 1
    if isinstance(error, click.ClickException):
        fail(error.format_message(), _usage_hint(error))
        return error.exit_code
    if "torch" in sys.modules:  # it cannot have run out of memory otherwise, and is slow to import
        from micl_cli.training.memory import with_memory_hint

        error = with_memory_hint(error)
    if isinstance(error, MiclError):
        fail(error.message, error.hint, label="" if isinstance(error, Interrupted) else "error:")
        return error.exit_code
    text = " ".join(f"{type(error).__name__}: {error}".split())
    fail(text, "" if output.debug else "This is a bug. Run with --debug to see the traceback, and report it.")
    return 1


def _usage_hint(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return _example(error) or (f"{_meant(error)} See `{ctx.command_path} --help`.".strip() if ctx else "")


def _meant(error: click.ClickException) -> str:
    """Return the choice that was probably meant, in any case; click only knows those in the same case."""
    if not (isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice)):
        return ""
    given = re.match(r"'([^']*)'", error.message)
    guess = nearest(given[1], map(str, error.param.type.choices)) if given else ""
    return "" if guess and guess in error.format_message() else guess


def _example(error: click.ClickException) -> str:
    """Return the first example in the help of a command that lacks an argument."""
    if not (isinstance(error, click.MissingParameter) and error.ctx):
        return ""
    command, path = error.ctx.command, error.ctx.command_path
    lines = f"{command.epilog or ''}\n{command.help or ''}".splitlines()
    examples = (line.strip().removeprefix("Example: ") for line in lines)
    return next((f"Example: {each}" for each in examples if each.startswith(f"{path} ")), "")


def _hang_up() -> int:
    """Return the exit code for a closed stdout (``| head``), and redirect stdout so that the flush at exit succeeds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
