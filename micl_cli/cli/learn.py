"""``micl learn``: teach a model a sequence of tasks."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.completers import complete_backbones, complete_runs, complete_strategies, complete_tasks
from micl_cli.cli.console import Progress, echo, echo_json, echo_json_line, note, table
from micl_cli.cli.recipe import Recipe, read_recipe
from micl_cli.cli.status import hushed, preparing
from micl_cli.errors import PlanError, UsageError

if TYPE_CHECKING:
    from micl_cli.api.events import Event
    from micl_cli.api.task import Task
    from micl_cli.plan import Plan
    from micl_cli.session import Request, Session

Pairs = Sequence[tuple[str, str]]
EVALUATION = {
    "batch_size": "eval_batch_size",
    "examples": "eval_examples",
    "unseen": "eval_unseen",
    "split": "eval_split",
    "score": "score",
    "max_new_tokens": "max_new_tokens",
    "num_beams": "num_beams",
}
"""The parameters that set how answers are produced and scored, by the setting's name."""

EPILOG = """\b
Examples:
  micl learn --strategy moincl --tasks img_cap,aud_qa
  micl learn --strategy moincl --tasks img_cap,vid_qa -o alpha 0.3 -o 2:alpha 0.8
  micl learn --recipe micl-order-1 --seed 1 --json > events.jsonl
  micl learn --after @last --tasks vid_cap

\b
Stdout is the run's id (events as JSON lines with --json), so that
  micl report $(micl learn --strategy finetune --tasks img_cap,aud_qa)
works. The same command again goes on where it stopped, or tells the finished run."""


@dataclass(frozen=True)
class Words:
    """What the command line said, before it means anything."""

    strategy: str | None
    tasks: str | None
    backbone: str
    benchmark: str
    recipe: str | None
    options: Pairs
    backbone_options: Pairs
    seed: int
    name: str
    resume: str | None
    after: str | None
    again: bool
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    said: frozenset[str]
    """The parameters that stand on the command line itself: a recipe and a run's own plan go before the others."""

    def spoken(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``settings`` that the command line itself gives."""
        return {name: value for name, value in settings.items() if name in self.said}

    def spoken_evaluation(self) -> dict[str, Any]:
        """The evaluation settings that the command line itself gives."""
        return {name: value for name, value in self.evaluation.items() if EVALUATION[name] in self.said}


@click.command(epilog=EPILOG)
@click.option(
    "--strategy", shell_complete=complete_strategies, help="The method; see `micl plugins --kind strategies`."
)
@click.option("--tasks", shell_complete=complete_tasks, help="Tasks in order: img_cap,aud_qa or own/mine,mini/vid_qa.")
@click.option("--backbone", default="tiny", shell_complete=complete_backbones, help="The model: NAME or NAME:ARGUMENT.")
@click.option("--benchmark", default="mini", help="The benchmark that bare task names belong to.")
@click.option("--recipe", help="A recipe by name (micl-order-1, micl-order-2) or a TOML file; flags go before it.")
@click.option(
    "-o", "--option", "options", type=(str, str), multiple=True, metavar="NAME VALUE",
    help="Set an option of the strategy; 3:NAME sets it for the third task only.",
)  # fmt: skip
@click.option("-b", "--backbone-option", "backbone_options", type=(str, str), multiple=True, metavar="NAME VALUE",
              help="Set an option of the backbone.")  # fmt: skip
@click.option("--quantize", type=click.Choice(["none", "nf4", "int8"]),
              help="Keep the frozen weights in 4 bits (QLoRA) or 8: the same as -b quantize.")  # fmt: skip
@click.option("--seed", default=0, help="Seed of all randomness.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over each task's examples.")
@click.option("--max-steps", type=click.IntRange(1), help="At most so many steps a task.")
@click.option("--batch-size", type=click.IntRange(1), help="Examples in one forward pass.")
@click.option("--accumulation", type=click.IntRange(1), help="Batches in one optimiser step.")
@click.option(
    "--learning-rate", "--lr", "learning_rate", type=click.FloatRange(0, min_open=True), help="AdamW's highest rate."
)
@click.option("--weight-decay", type=click.FloatRange(0), help="AdamW's weight decay.")
@click.option("--warmup", type=click.FloatRange(0, 1), help="Share of the steps in which the rate rises.")
@click.option("--max-grad-norm", type=click.FloatRange(0), help="Longest gradient; 0 does not clip.")
@click.option(
    "--patience", type=click.IntRange(0), help="Validations without a better score that end a task; 0: never."
)
@click.option("--validate-every", type=click.IntRange(1), help="Epochs between validations.")
@click.option("--validation-examples", type=click.IntRange(1), help="At most so many examples a validation.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Number format of the forward pass.")
@click.option("--gradient-checkpointing/--no-gradient-checkpointing", default=None, help="Less memory, more time.")
@click.option("--eval-batch-size", type=click.IntRange(1), help="Examples answered together.")
@click.option("--eval-examples", type=click.IntRange(1), help="At most so many examples a score.")
@click.option(
    "--eval-split",
    type=click.Choice(["test", "val"]),
    help="Which examples to score on; val while choosing settings, so that test data stays unseen.",
)
@click.option("--eval-unseen", is_flag=True, default=None, help="Also score tasks before they are learnt (for FWT).")
@click.option(
    "--score",
    type=click.Choice(["answers", "choices"]),
    help="choices: also score closed questions by their likeliest answer: lost format or lost knowledge?",
)
@click.option("--max-new-tokens", type=click.IntRange(1), help="Longest answer.")
@click.option("--num-beams", type=click.IntRange(1), help="Beams of the search for an answer; 1 is greedy.")
@click.option("--name", default="", help="A name for the run; it changes nothing else.")
@click.option("--again", is_flag=True, help="Make a further run of a plan that has one.")
@click.option("--resume", shell_complete=complete_runs, metavar="RUN", help="Go on with an unfinished run.")
@click.option(
    "--after", shell_complete=complete_runs, metavar="RUN", help="Go on from a finished run with new --tasks."
)
@click.option("--save-predictions", is_flag=True, help="Keep the answers behind each score in the store.")
@click.option("--save-seconds", default=5.0, type=click.FloatRange(0), help="Seconds between step checkpoints.")
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option("--threads", default=0, type=click.IntRange(0), help="CPU threads; 0: what suits the backbone.")
@click.option("--dry-run", is_flag=True, help="Check and show the plan and an estimate; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write events as JSON lines.")
def learn(
    save_predictions: bool, save_seconds: float, device: str, threads: int, dry_run: bool, as_json: bool, **flags: Any
) -> None:
    """Learn tasks one after another, score after each, and keep every stage.

    A run is named by its plan: the same command again resumes it or tells its result. Ctrl-C
    keeps what is learnt. Progress goes to stderr.
    """
    from micl_cli.session import Session
    from micl_cli.settings import load_settings
    from micl_cli.training.loop import Control

    settings = load_settings()
    words = _words(flags)
    session = Session(settings)
    with hushed():
        plan, tasks = _plan(session, words, settings.options("learn"), dry_run)
        if dry_run:
            _show(session, plan, tasks, device, as_json)
            return
        with stopping() as stop:
            control = Control(stop=stop, save_seconds=save_seconds, keep_answers=save_predictions)
            follow(session.learn(plan, tasks, control, device=device, threads=threads), as_json)
    if not as_json:
        echo(plan.id)


def _words(flags: dict[str, Any]) -> Words:
    """Flags in their groups: those of training and evaluation are settings of the plan."""
    from micl_cli.plan import Training

    said = {name for name in flags if _source(name) is ParameterSource.COMMANDLINE}
    training = {f.name: flags.pop(f.name) for f in fields(Training)}
    evaluation = {name: flags.pop(flag) for name, flag in EVALUATION.items()}
    flags["backbone_options"] = backbone_options(flags.pop("quantize"), flags["backbone_options"])
    return Words(**flags, training=training, evaluation=evaluation, said=frozenset(said))


def backbone_options(quantize: str | None, pairs: Pairs) -> Pairs:
    """The backbone's options with what --quantize adds to them; "none" is what a backbone does without it."""
    kept = tuple(pair for pair in pairs if not (quantize and pair[0] == "quantize"))
    return kept if quantize in (None, "none") else (*kept, ("quantize", quantize))


def _source(parameter: str) -> ParameterSource | None:
    return click.get_current_context().get_parameter_source(parameter)


def _plan(session: Session, words: Words, configured: Mapping[str, Any], dry: bool) -> tuple[Plan, list[Task]]:
    """What the words mean: a new plan, or that of a run to resume."""
    if words.resume:
        return _resumed(session, words, dry)
    request = _after(session, words, dry) if words.after else _request(words, configured)
    session.plan(request, ())  # tells what is wrong with the words before any data is prepared
    tasks = session.open_tasks(request.tasks, dry=dry, watch=preparing)
    plan = session.plan(request, tasks)
    return (session.further_attempt(plan) if words.again else plan), tasks


def _resumed(session: Session, words: Words, dry: bool) -> tuple[Plan, list[Task]]:
    _refuse(words, words.said - {"resume"}, "--resume goes on with a run as it was planned")
    run_id = session.resolve(str(words.resume))
    _, plan = session.record(run_id)
    if plan.id != run_id:
        raise PlanError(
            f"run {run_id} was planned by another version of micl, which knew other settings",
            "Go on with that version, or start a new run.",
        )
    return plan, session.open_planned(run_id, plan, dry=dry, watch=preparing)


def _refuse(words: Words, names: Collection[str], why: str) -> None:
    """Raise UsageError where one of ``names`` was given on the command line."""
    if given := sorted(words.said & set(names)):
        flags = ", ".join("-o" if name == "options" else f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(why, f"Leave out {flags}.")


def _request(words: Words, configured: Mapping[str, Any]) -> Request:
    from micl_cli.plan import split_tasks
    from micl_cli.session import Request

    recipe = read_recipe(words.recipe) if words.recipe else Recipe()
    said = {name: getattr(words, name) for name in ("strategy", "tasks") if name in words.said}
    strategy = said.get("strategy") or recipe.strategy or words.strategy
    names = said.get("tasks") or recipe.tasks or words.tasks
    if not strategy:
        raise UsageError(
            "no strategy is named", "Name one: --strategy moincl; `micl plugins --kind strategies` lists them."
        )
    if not names:
        raise UsageError("no task is named", "Name tasks with --tasks, for example: --tasks img_cap,aud_qa")
    named = dict(words.options)
    own = recipe.options if strategy == recipe.strategy else {}
    options, stage_options = by_stage({**configured, **named, **own, **(named if "options" in words.said else {})})
    return Request(
        strategy=strategy,
        backbone=words.backbone,
        tasks=split_tasks(names, words.benchmark),
        strategy_options=options,
        stage_options=stage_options,
        backbone_options=dict(words.backbone_options),
        seed=words.seed,
        training={**_given(words.training), **recipe.training, **words.spoken(words.training)},
        evaluation={**_given(words.evaluation), **recipe.evaluation, **words.spoken_evaluation()},
        name=words.name,
    )


def _after(session: Session, words: Words, dry: bool) -> Request:
    """A request that goes on from a finished run: its plan, with more tasks."""
    from micl_cli.plan import split_tasks
    from micl_cli.session import Request

    record, plan = session.record(session.resolve(str(words.after)))
    _refuse(words, {"recipe"}, "--after goes on with the plan of a run, not with a recipe")
    if record.status != "finished":
        raise UsageError(
            f"run {record.id} is not finished ({record.status})", f"Finish it: micl learn --resume {record.id}"
        )
    for name, its in (("strategy", plan.strategy), ("backbone", plan.backbone), ("seed", plan.seed)):
        if name in words.said and getattr(words, name) != its:
            raise UsageError(f"run {record.id} was learnt with {name} {its}", f"Leave --{name} out: a run keeps it.")
    _refuse(words, {"backbone_options", "quantize"}, f"run {record.id} keeps its backbone as it is")
    if not words.tasks:
        raise UsageError("no task is named", "Name what to learn next: --after RUN --tasks vid_qa")
    session.open_planned(record.id, plan, dry=dry, watch=preparing)
    options, stage_options = by_stage(dict(words.options) if "options" in words.said else {})
    tasks = (*plan.tasks, *split_tasks(words.tasks, words.benchmark))
    return Request(
        strategy=plan.strategy,
        backbone=plan.backbone,
        tasks=split_tasks(",".join(tasks), words.benchmark),
        strategy_options={**plan.strategy_options, **options},
        stage_options=_joined(plan.stage_options, stage_options),
        backbone_options=plan.backbone_options,
        seed=plan.seed,
        training={**_as_dict(plan.training), **words.spoken(words.training)},
        evaluation={**_as_dict(plan.evaluation), **words.spoken_evaluation()},
        parent=record.id,
        name=words.name,
    )


def _joined(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {position: {**old.get(position, {}), **new.get(position, {})} for position in (*old, *new)}


def by_stage(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """({name: value} for the run, {position: {name: value}} for single stages) from "3:name" keys."""
    options: dict[str, Any] = {}
    stages: dict[str, dict[str, Any]] = {}
    for name, value in raw.items():
        position, colon, bare = name.partition(":")
        if not colon:
            options[name] = value
        elif position.isdecimal():
            stages.setdefault(str(int(position)), {})[bare] = value
        else:
            raise UsageError(
                f"option {name!r}: {position!r} is no task's place", "Write -o 3:NAME VALUE for the third task."
            )
    return options, stages


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _as_dict(settings: Any) -> dict[str, Any]:
    return {f.name: getattr(settings, f.name) for f in fields(settings)}


def follow(events: Generator[Event, None, None], as_json: bool) -> None:
    """Show what happens until it ends."""
    progress = Progress(quiet=True if as_json else None)
    # Closed at once where the screen fails (a reader that left), so that the run's end is kept.
    with closing(events), closing(progress):
        for event in events:
            progress.consume(event)
            if as_json:
                echo_json_line(event.as_json())


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the first asks to keep all and end, the second ends at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        note("stopping: keeping what is learnt (once more ends at once)")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(session: Session, plan: Plan, tasks: Sequence[Task], device: str, as_json: bool) -> None:
    """The plan, its id and an estimate."""
    estimate = session.estimate(plan, tasks, device)
    if as_json:
        echo_json({"run": plan.id, "plan": plan.as_json(), "estimate": estimate.as_json()})
        return
    echo(f"run       {plan.id}{' (' + estimate.status + ')' if estimate.status else ''}")
    echo(f"strategy  {plan.strategy}  {_pairs(plan.strategy_options)}".rstrip())
    echo(f"backbone  {plan.backbone}  {_pairs(plan.backbone_options)}".rstrip())
    echo(f"training  {_pairs(_as_dict(plan.training))}")
    echo(f"seed      {plan.seed}")
    rows = [
        [s.position, ", ".join(s.tasks), s.examples, s.steps, s.scored, _stage_options(plan, s.position)]
        for s in estimate.stages
    ]
    echo()
    echo(table(["stage", "tasks", "examples", "steps", "answers", "options"], rows))
    echo()
    echo(f"{estimate.trainable} trainable parameters, {estimate.steps} steps at most; {estimate.duration}")


def _stage_options(plan: Plan, position: int) -> str:
    return _pairs(plan.stage_options.get(str(position), {}))


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items() if value not in (None, ""))
