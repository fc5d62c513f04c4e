"""``micl learn``: teach a model a sequence of tasks."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import JoinedOption, run_name, unique_names
from micl_cli.cli.completers import (
    complete_backbone_options,
    complete_backbones,
    complete_files,
    complete_listeners,
    complete_recipes,
    complete_runs,
    complete_strategies,
    complete_strategy_options,
    complete_tasks,
)
from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.learn_request import LearnArguments, make_learn_plan
from micl_cli.cli.pairs import PairOption
from micl_cli.cli.plan_options import benchmark_option, plan_options, trust_option
from micl_cli.cli.predictions_options import max_answers, predictions_options
from micl_cli.cli.progress import Progress
from micl_cli.cli.run_file import FileCommand
from micl_cli.cli.saved_config import save_learn_config, save_option
from micl_cli.cli.status import DownloadBars, quiet_libraries, stopping_note
from micl_cli.io.json_lines import write_json_line

if TYPE_CHECKING:
    from micl_cli.api.events import Event
    from micl_cli.api.task import Task
    from micl_cli.plan import Plan
    from micl_cli.session import Session

EPILOG = """\b
Examples:
  micl learn --strategy moincl --tasks img_cap,aud_qa
  micl learn --strategy moincl --tasks img_cap,vid_qa -o alpha 0.3 -o 2:alpha 0.8
  micl learn --recipe micl-order-1 --seed 1 --json > events.jsonl
  micl learn run.toml --seed 1
  micl learn --after @last --tasks vid_cap

\b
The run's id is written to stdout (with --json, events as JSON lines), for example for
  micl report $(micl learn --strategy finetune --tasks img_cap,aud_qa)
The same command again resumes the run, or shows it if it is finished."""


@click.command(cls=FileCommand, epilog=EPILOG)
@click.argument("file", required=False, metavar="[FILE]", shell_complete=complete_files)
@click.option("--strategy", shell_complete=complete_strategies,
              help="The method; see `micl plugins --kind strategies`.")  # fmt: skip
@click.option("--tasks", cls=JoinedOption, shell_complete=complete_tasks,
              help="Tasks in order: img_cap,aud_qa or own/mine,mini/vid_qa; may be repeated.")  # fmt: skip
@click.option("--backbone", default="tiny", shell_complete=complete_backbones, help="The model: NAME or NAME:ARGUMENT.")
@benchmark_option
@click.option(
    "--recipe",
    shell_complete=complete_recipes,
    help="A recipe by name (micl-order-1, or one of `micl tune freeze`) or a TOML file; flags override it.",
)
@click.option("-o", "--option", "options", cls=PairOption, type=(str, str), multiple=True, metavar="NAME VALUE",
              callback=unique_names, shell_complete=complete_strategy_options,
              help="Set an option of the strategy, also as NAME=VALUE; 3:NAME is for the third task.")  # fmt: skip
@click.option("-b", "--backbone-option", "backbone_options", cls=PairOption, type=(str, str), multiple=True,
              metavar="NAME VALUE", callback=unique_names, shell_complete=complete_backbone_options,
              help="Set an option of the backbone, also as NAME=VALUE.")  # fmt: skip
@click.option("--quantize", type=click.Choice(["none", "nf4", "int8"]),
              help="Quantize the frozen weights to 4 (QLoRA) or 8 bits; the same as -b quantize.")  # fmt: skip
@trust_option
@click.option("--seed", default=0, help="Seed of all random numbers.")
@plan_options
@click.option("--name", default="", callback=run_name, help="A name for the run; it does not affect the result.")
@click.option("--again", is_flag=True, help="Start another run of a plan that already has one.")
@click.option("--resume", shell_complete=complete_runs, metavar="RUN", help="Continue an unfinished run.")
@click.option("--after", shell_complete=complete_runs, metavar="RUN",
              help="Continue a finished run with more --tasks.")  # fmt: skip
@click.option("--listen", "listeners", multiple=True, shell_complete=complete_listeners, metavar="NAME,...",
              help="Send the run's events to a listener: tensorboard, wandb, mlflow or a plugin's, with options from "
              "[listen.NAME] in micl.toml; may be repeated.")  # fmt: skip
@predictions_options
@click.option("--save-seconds", default=5.0, type=click.FloatRange(0), help="Seconds between step checkpoints.")
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="The device to compute on.")
@click.option("--threads", default=0, type=click.IntRange(0), help="CPU threads; 0: as the backbone prefers.")
@click.option("--loader-workers", default=0, type=click.IntRange(0),
              help="Threads that read media ahead while the model learns (experimental).")  # fmt: skip
@save_option
@click.option("--dry-run", is_flag=True, help="Check and show the plan with an estimate; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write events as JSON lines.")
def learn(
    file: str | None,
    listeners: tuple[str, ...],
    predictions: int | None,
    save_predictions: bool,
    save_seconds: float,
    device: str,
    threads: int,
    loader_workers: int,
    save_config: Path | None,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Learn tasks one after another, score after each, and save a checkpoint of each stage.

    FILE is a TOML file with these options; those of the command line override it.

    A run is identified by its plan: the same command again resumes it or shows its result. Ctrl-C saves what is learnt.
    Progress is shown on stderr.
    """
    from micl_cli.session import Session, configured_listeners
    from micl_cli.session import learn as learn_plan
    from micl_cli.session.signals import stop_on_signal
    from micl_cli.training.loop import Control

    settings = current_settings()
    arguments = LearnArguments.from_flags(flags)
    session = Session(settings, progress=DownloadBars().update, trusted=arguments.trusted)
    factories = configured_listeners(listeners, settings, session.registry)
    with quiet_libraries():
        plan, tasks, recipe = make_learn_plan(session, arguments, dry_run)
        if save_config:
            save_learn_config(save_config, plan, session.registry)
        if dry_run:
            _show_plan(session, plan, tasks, device, as_json)
            return
        progress = Progress(quiet=True if as_json else None)
        with stop_on_signal(stopping_note) as stop, progress.loading(plan.backbone):
            kept = max_answers(predictions, save_predictions)
            control = Control(stop=stop, save_seconds=save_seconds, max_answers=kept, loader_workers=loader_workers)
            control.answering = progress.answering
            options: dict[str, Any] = {"device": device, "threads": threads, "listeners": factories, "recipe": recipe}
            _show_events(learn_plan(session, plan, tasks, control, **options), progress, as_json)
    if not as_json:
        echo(plan.id)


def _show_events(events: Generator[Event, None, None], progress: Progress, as_json: bool) -> None:
    # If output fails (a closed pipe), the generator is closed immediately and stores the end of the run.
    with closing(events), closing(progress):
        for event in events:
            progress.consume(event)
            if as_json:
                write_json_line(event.as_json())


def _show_plan(session: Session, plan: Plan, tasks: Sequence[Task], device: str, as_json: bool) -> None:
    """Show the plan, its id and an estimate."""
    estimate = session.estimate(plan, tasks, device)
    if as_json:
        echo_json({"run": plan.id, "plan": plan.as_json(), "estimate": estimate.as_json()})
        return
    echo(f"run       {plan.id}{' (' + estimate.status + ')' if estimate.status else ''}")
    echo(f"strategy  {plan.strategy}  {_pairs(plan.strategy_options)}".rstrip())
    echo(f"backbone  {plan.backbone}  {_pairs(plan.backbone_options)}".rstrip())
    echo(f"training  {_pairs(asdict(plan.training))}")
    echo(f"seed      {plan.seed}")
    rows = [
        [s.position, ", ".join(s.tasks), s.examples, s.steps, s.scored, _stage_options(plan, s.position)]
        for s in estimate.stages
    ]
    echo()
    echo(table(["stage", "tasks", "examples", "steps", "answers", "options"], rows))
    echo()
    echo(f"{estimate.trainable} trainable parameters, at most {estimate.steps} steps; {estimate.duration}")
    for text in estimate.notes:
        note(f"note: {text}")


def _stage_options(plan: Plan, position: int) -> str:
    return _pairs(plan.stage_options.get(str(position), {}))


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items() if value not in (None, ""))
