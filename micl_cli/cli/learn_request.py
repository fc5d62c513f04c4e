"""The plan of ``micl learn``, from flags, recipes, configuration files and earlier runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from micl_cli.cli.console import note
from micl_cli.cli.plan_options import given_settings, pop_settings
from micl_cli.cli.recipe import Recipe, checked_recipe, read_recipe, recipe_notes, recipe_use
from micl_cli.cli.run_file import current_file
from micl_cli.cli.status import preparing
from micl_cli.cli.toml_files import configured_options
from micl_cli.errors import PlanError, UsageError
from micl_cli.plan import BackboneName, Evaluation, Plan, Training, split_tasks
from micl_cli.settings import TRUST

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.registry import Registry
    from micl_cli.session import Request, Session

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class LearnArguments:
    """The arguments of ``micl learn`` that determine the plan."""

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
    trust_remote_code: bool
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    flagged: frozenset[str]
    """The parameters given on the command line; they take precedence over a recipe and the plan of an earlier run."""

    @classmethod
    def from_flags(cls, flags: dict[str, Any]) -> LearnArguments:
        """Return the arguments of the current command, whose parameters are ``flags``."""
        context = click.get_current_context()
        flagged = {name for name in flags if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
        training, evaluation = pop_settings(Training, flags), pop_settings(Evaluation, flags)
        if context.get_parameter_source("options") is ParameterSource.DEFAULT_MAP:
            flags["options"] = ()  # read from each file, which errors name
        flags["backbone_options"] = backbone_options(flags.pop("quantize"), flags["backbone_options"])
        return cls(**flags, training=training, evaluation=evaluation, flagged=frozenset(flagged))

    @property
    def trusted(self) -> bool:
        """Whether the user of this command allows the code of the checkpoint to run."""
        return allows_code(self.trust_remote_code, self.backbone_options)

    @property
    def flagged_training(self) -> dict[str, Any]:
        """The training settings given on the command line."""
        return given_settings(Training, self.training, self.flagged)

    @property
    def flagged_evaluation(self) -> dict[str, Any]:
        """The evaluation settings given on the command line."""
        return given_settings(Evaluation, self.evaluation, self.flagged)

    @property
    def flagged_options(self) -> dict[str, str]:
        """The strategy options given on the command line."""
        return dict(self.options) if "options" in self.flagged else {}

    def refuse(self, parameters: Collection[str], why: str) -> None:
        """Raise UsageError if one of ``parameters`` is given on the command line."""
        if given := sorted(self.flagged & set(parameters)):
            flags = ", ".join("-o" if name == "options" else f"--{name.replace('_', '-')}" for name in given)
            raise UsageError(why, f"Leave out {flags}.")


def backbone_options(quantize: str | None, pairs: Pairs) -> Pairs:
    """Return the backbone options with the value of --quantize. "none" removes the option.

    If one of --quantize and -b quantize is given on the command line, the other, from a file, is ignored. Raises
    UsageError if both are.
    """
    source = click.get_current_context().get_parameter_source
    if quantize and "quantize" in dict(pairs) and source("backbone_options") is ParameterSource.COMMANDLINE:
        if source("quantize") is ParameterSource.COMMANDLINE:
            raise UsageError("--quantize and -b quantize are the same option", "Give one of them.")
        return pairs
    others = tuple(pair for pair in pairs if not (quantize and pair[0] == "quantize"))
    return others if quantize in (None, "none") else (*others, ("quantize", quantize))


def allows_code(flag: bool, pairs: Pairs) -> bool:
    """Return whether --trust-remote-code or -b trust_remote_code is given."""
    return flag or TRUST in dict(pairs)


def with_trust(pairs: Pairs, allowed: bool, backbone: str, registry: Registry) -> dict[str, str]:
    """Return the backbone options, with that of --trust-remote-code if it is given and the backbone has it."""
    from micl_cli.api.options import options_of

    options = dict(pairs)
    if allowed and TRUST in options_of(registry.load("backbones", BackboneName.parse(backbone, registry).name)):
        options[TRUST] = "true"
    return options


def split_stage_options(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the options of the run by name, and those of single stages ("3:name") by position and name."""
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
                f"option {name!r}: {position!r} is not the position of a task",
                "Write -o 3:NAME VALUE for the third task.",
            )
    return options, stages


class PlannedRun(NamedTuple):
    """The plan of a run, its prepared tasks, and what the run records of its recipe."""

    plan: Plan
    tasks: list[Task]
    recipe: dict[str, str] | None = None


def make_learn_plan(session: Session, arguments: LearnArguments, dry: bool) -> PlannedRun:
    """Return the plan for the arguments, and its prepared tasks. With ``dry``, nothing is written."""
    if arguments.resume:
        return PlannedRun(*_plan_to_resume(session, arguments, dry))
    recipe = Recipe()
    if arguments.after:
        request = _request_after(session, arguments, dry)
    else:
        recipe = read_recipe(arguments.recipe, session.settings) if arguments.recipe else recipe
        if strategy := _first(arguments, recipe, "strategy"):
            recipe = checked_recipe(recipe, strategy, session.registry)
        request = _new_request(arguments, recipe, session)
        recipe = recipe if recipe.name else cited_file(session, request.strategy)
    session.plan(request, ())  # reports invalid arguments before any data is prepared
    tasks = session.tasks.open_tasks(request.tasks, dry=dry, watch=preparing)
    plan = session.plan(request, tasks)
    plan = session.further_attempt(plan) if arguments.again else session.with_earlier_digest([plan], dry=dry)[0]
    for text in recipe_notes(recipe, plan):
        note(f"note: {text}")
    return PlannedRun(plan, tasks, recipe_use(recipe, plan))


def cited_file(session: Session, strategy: str) -> Recipe:
    """Return the run file of the command as a recipe if it cites a study, else an empty recipe."""
    file = current_file()
    if not (file and file.cites):
        return Recipe()
    return checked_recipe(read_recipe(str(file.path), session.settings, of_run_file=True), strategy, session.registry)


def _plan_to_resume(session: Session, arguments: LearnArguments, dry: bool) -> tuple[Plan, list[Task]]:
    if file := current_file():
        raise UsageError("--resume continues a run with its own plan", f"Leave out {file.path}.")
    arguments.refuse(arguments.flagged - {"resume", TRUST}, "--resume continues a run with its own plan")
    run_id = session.resolve(str(arguments.resume))
    _, plan = session.record(run_id)
    if plan.id != run_id:
        raise PlanError(
            f"run {run_id} was planned by a version of micl with different settings",
            "Continue it with that version, or start a new run.",
        )
    session.check_base(plan)
    return plan, session.open_planned(run_id, plan, dry=dry, watch=preparing)


def _new_request(arguments: LearnArguments, recipe: Recipe, session: Session) -> Request:
    from micl_cli.session import Request

    registry = session.registry
    strategy, tasks = _first(arguments, recipe, "strategy"), _first(arguments, recipe, "tasks")
    if not strategy:
        hint = "Name one: --strategy moincl; `micl plugins --kind strategies` lists them."
        raise UsageError("no strategy is named", hint)
    if not tasks:
        raise UsageError("no task is named", "Name tasks with --tasks, for example: --tasks img_cap,aud_qa")
    of_recipe = recipe.options if recipe.is_for(strategy) else {}
    if recipe.options and not of_recipe:
        note(f"the options of recipe {arguments.recipe} are for strategy {recipe.strategy}; {strategy} ignores them")
    classes = [(f"strategy {strategy}", registry.load("strategies", strategy))]
    configured = configured_options(session.settings, ["learn"], classes)
    options, stage_options = split_stage_options(
        {**configured, **dict(arguments.options), **of_recipe, **arguments.flagged_options}
    )
    return Request(
        strategy=strategy,
        backbone=arguments.backbone,
        tasks=split_tasks(tasks, arguments.benchmark, registry),
        strategy_options=options,
        stage_options=stage_options,
        backbone_options=with_trust(
            arguments.backbone_options, arguments.trust_remote_code, arguments.backbone, registry
        ),
        seed=arguments.seed,
        training={**not_none(arguments.training), **recipe.training, **arguments.flagged_training},
        evaluation={**not_none(arguments.evaluation), **recipe.evaluation, **arguments.flagged_evaluation},
        name=arguments.name,
    )


def _first(arguments: LearnArguments, recipe: Recipe, name: str) -> str | None:
    """Return an argument from the command line, else the recipe, else configuration files and variables."""
    value: str | None = getattr(arguments, name)
    return value if name in arguments.flagged else getattr(recipe, name) or value


def _request_after(session: Session, arguments: LearnArguments, dry: bool) -> Request:
    """Return a request that continues a finished run: its plan, with more tasks."""
    from micl_cli.session import Request

    record, plan = session.record(session.resolve(str(arguments.after)))
    _check_after(session, arguments, record.id, record.status, plan)
    session.check_base(plan)
    session.check_option_files(plan)
    session.open_planned(record.id, plan, dry=dry, watch=preparing)
    options, stage_options = split_stage_options(arguments.flagged_options)
    tasks = (*plan.tasks, *split_tasks(str(arguments.tasks), arguments.benchmark, session.registry))
    positions = dict.fromkeys((*plan.stage_options, *stage_options))
    return Request(
        strategy=plan.strategy,
        backbone=plan.backbone,
        tasks=split_tasks(",".join(tasks), arguments.benchmark),
        strategy_options={**plan.strategy_options, **options},
        stage_options={n: {**plan.stage_options.get(n, {}), **stage_options.get(n, {})} for n in positions},
        backbone_options=plan.backbone_options,
        seed=plan.seed,
        training={**asdict(plan.training), **arguments.flagged_training},
        evaluation={**asdict(plan.evaluation), **arguments.flagged_evaluation},
        parent=record.id,
        name=arguments.name,
    )


def _check_after(session: Session, arguments: LearnArguments, run: str, status: str, plan: Plan) -> None:
    """Raise UsageError if the arguments contradict the run that they continue."""
    arguments.refuse({"recipe"}, "--after continues with the plan of a run, not with a recipe")
    if status != "finished":
        raise UsageError(f"run {run} is not finished ({status})", f"Finish it: micl learn --resume {run}")
    for name in ("strategy", "backbone", "seed"):
        given, value = getattr(arguments, name), getattr(plan, name)
        if name == "backbone" and name in arguments.flagged and given != value:
            given = session.resolve_backbone(given)
        if name in arguments.flagged and given != value:
            raise UsageError(f"run {run} was learnt with {name} {value}", f"Leave out --{name}: it cannot be changed.")
    arguments.refuse({"backbone_options", "quantize"}, f"the backbone of run {run} cannot be changed")
    if not arguments.tasks:
        raise UsageError("no task is named", "Name the tasks to learn next: --after RUN --tasks vid_qa")


def not_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a mapping whose value is not None."""
    return {name: value for name, value in values.items() if value is not None}
