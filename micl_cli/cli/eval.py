"""``micl eval``: score a run's model."""

from __future__ import annotations

from typing import Any

import click

from micl_cli.cli.completers import complete_runs, complete_tasks
from micl_cli.cli.console import echo, echo_json_line, table
from micl_cli.cli.status import hushed, preparing
from micl_cli.errors import Interrupted

EPILOG = """\b
Examples:
  micl eval @last --split val
  micl eval 3f2a --tasks vid_cap,own/mine --stage 1"""


@click.command("eval", epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.option("--tasks", shell_complete=complete_tasks, help="Tasks to score; the run's own where not given.")
@click.option("--split", default="test", type=click.Choice(["train", "val", "test"]), help="Which examples.")
@click.option("--stage", type=click.IntRange(1), help="The model as it was after this stage; the last where not given.")
@click.option("--benchmark", default="mini", help="The benchmark that bare task names belong to.")
@click.option("--examples", type=click.IntRange(1), help="At most so many examples; such scores are not stored.")
@click.option(
    "--score",
    type=click.Choice(["answers", "choices"]),
    help="choices: also score closed questions by the likeliest of their answers; as in the run where not given.",
)
@click.option("--save-predictions", is_flag=True, help="Keep the answers in the store.")
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option("--json", "as_json", is_flag=True, help="Write scores as JSON lines.")
def evaluate(
    run: str,
    tasks: str | None,
    split: str,
    stage: int | None,
    benchmark: str,
    examples: int | None,
    score: str | None,
    save_predictions: bool,
    device: str,
    as_json: bool,
) -> None:
    """Score a run's model, from any stage's checkpoint, on its tasks or others."""
    from micl_cli.api.events import Scored
    from micl_cli.plan import split_tasks
    from micl_cli.session import Session
    from micl_cli.settings import load_settings
    from micl_cli.training.loop import Control

    session = Session(load_settings())
    run_id = session.resolve(run)
    names = split_tasks(tasks, benchmark) if tasks else ()
    control = Control(keep_answers=save_predictions)
    events = session.evaluate(
        run_id, names, split, control, stage=stage, examples=examples, scoring=score, device=device, watch=preparing
    )
    rows: list[list[Any]] = []
    try:
        with hushed():
            for event in events:
                if as_json:
                    echo_json_line(event.as_json())
                elif isinstance(event, Scored):
                    rows.append([event.task, event.metric, f"{event.value:.1f}", event.n, event.split, event.after])
    except KeyboardInterrupt:
        raise Interrupted("interrupted; tasks scored so far are kept", "Give the same command again.") from None
    finally:
        if rows:
            echo(table(["task", "metric", "score", "examples", "split", "after stage"], rows))
