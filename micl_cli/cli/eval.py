"""``micl eval``: score a run's model."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import Command, JoinedOption
from micl_cli.cli.completers import complete_runs, complete_tasks
from micl_cli.cli.console import echo, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.plan_options import benchmark_option, decoding_options, trust_option
from micl_cli.cli.predictions_options import max_answers, predictions_options
from micl_cli.cli.progress import Progress
from micl_cli.cli.status import DownloadBars, preparing, quiet_libraries
from micl_cli.errors import Interrupted, UsageError
from micl_cli.io.json_lines import write_json_line

if TYPE_CHECKING:
    from micl_cli.session.evaluation import StageRange

EPILOG = """\b
Examples:
  micl eval @last --split val
  micl eval 3f2a --tasks vid_cap,own/mine --stage 0,last
  micl eval @last --num-beams 5 --repetition-penalty 1.15"""
_STAGES = re.compile(r"(?:(\d{1,6})\.\.)?(\d{1,6}|last)")


def parse_stages(ctx: click.Context, parameter: click.Parameter, text: str) -> list[StageRange]:
    """Return the ranges of stages in "0,2..last", ends included. Raises UsageError."""
    stages: list[StageRange] = []
    for part in (part.strip() for part in text.split(",")):
        match = _STAGES.fullmatch(part)
        first, last = (_bound(match[1] or match[2]), _bound(match[2])) if match else (1, 0)
        if first is not None and last is not None and first > last:
            raise UsageError(f"--stage {text}: {part!r} names no stage", "Write 0, 2, last, 0,last or 1..last.")
        stages.append((first, last))
    return stages


def _bound(text: str) -> int | None:
    return None if text == "last" else int(text)


@click.command("eval", cls=Command, epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.option("--tasks", cls=JoinedOption, shell_complete=complete_tasks,
              help="The tasks to score; by default those of the run.")  # fmt: skip
@click.option("--split", default="test", type=click.Choice(["train", "val", "test"]), help="The split to score on.")
@click.option("--stage", "stages", default="last", metavar="STAGES", callback=parse_stages,
              help="The stages to score: 0 (before learning), 2, last, 0,last or 1..last.")  # fmt: skip
@benchmark_option
@click.option(
    "--examples",
    type=click.IntRange(1),
    help="Maximum number of examples, a random choice; such scores are not stored.",
)
@click.option(
    "--score",
    type=click.Choice(["answers", "choices"]),
    help="choices: also score closed questions by their most likely answer; by default as in the run.",
)
@decoding_options
@predictions_options
@trust_option
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="The device to compute on.")
@click.option("--json", "as_json", is_flag=True, help="Write scores as JSON lines.")
def evaluate(
    run: str,
    tasks: str | None,
    split: str,
    stages: list[StageRange],
    benchmark: str,
    examples: int | None,
    score: str | None,
    max_new_tokens: int | None,
    num_beams: int | None,
    repetition_penalty: float | None,
    length_penalty: float | None,
    predictions: int | None,
    save_predictions: bool,
    trust_remote_code: bool,
    device: str,
    as_json: bool,
) -> None:
    """Score a run's model after any of its stages, on its own tasks or others.

    `micl report` lists scores on tasks outside the run's sequence in a section of their own. They show losses that the
    learnt tasks do not test.
    """
    from micl_cli.api.events import Notice, Scored
    from micl_cli.plan import split_tasks
    from micl_cli.session import Session
    from micl_cli.session import evaluate as evaluate_run
    from micl_cli.training.loop import Control

    session = Session(current_settings(), progress=DownloadBars().update, trusted=trust_remote_code)
    run_id = session.resolve(run)
    names = split_tasks(tasks, benchmark, session.registry) if tasks else ()
    progress = Progress(quiet=True if as_json else None)
    control = Control(max_answers=max_answers(predictions, save_predictions), answering=progress.answering)
    options: dict[str, Any] = {"stages": stages, "examples": examples, "scoring": score, "device": device}
    options["decoding"] = {
        "max_new_tokens": max_new_tokens,
        "num_beams": num_beams,
        "repetition_penalty": repetition_penalty,
        "length_penalty": length_penalty,
    }
    events = evaluate_run(session, run_id, names, split, control, **options, watch=preparing)
    rows: list[list[Any]] = []
    try:
        with quiet_libraries(), closing(progress), progress.loading(session.record(run_id)[1].backbone):
            for event in events:
                progress.close()
                if as_json:
                    write_json_line(event.as_json())
                elif isinstance(event, Notice):
                    note(f"note: {event.text}")
                elif isinstance(event, Scored):
                    rows.append([event.task, event.metric, f"{event.value:.1f}", event.n, event.split, event.after])
    except KeyboardInterrupt:
        raise Interrupted("interrupted; scores so far are stored", "Run the same command again.") from None
    finally:
        if rows:
            echo(table(["task", "metric", "score", "examples", "split", "after stage"], rows))
