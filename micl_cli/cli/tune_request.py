"""The studies that ``micl tune`` defines by its flags and configuration files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from micl_cli.cli.cell_requests import cell_requests, given_options, given_parameters
from micl_cli.cli.console import note, warn
from micl_cli.cli.recipe import order_tasks, recipe_names
from micl_cli.cli.status import preparing
from micl_cli.errors import PlanError, UsageError
from micl_cli.plan import Training, declared_settings, split_tasks

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.session import Request, Session
    from micl_cli.sweep.grid import Variant
    from micl_cli.tune.records import StudyRecord
    from micl_cli.tune.space import Dimension, SpaceChange

COMMAND = "tune run"
"""The table of the command in configuration files."""


@dataclass(frozen=True)
class StudyArguments:
    """The arguments of ``micl tune`` that define studies."""

    strategy: str
    tasks: str
    seed: str
    objective: str
    space: tuple[str, ...]
    name: str
    reserved: str
    allow_overlap: bool


@dataclass(frozen=True)
class PlannedStudy:
    """The definition of a study for one strategy, and the request that its trials vary."""

    record: StudyRecord
    request: Request


def plan_studies(
    session: Session, arguments: StudyArguments, flags: dict[str, Any], dry: bool
) -> tuple[list[PlannedStudy], list[Task]]:
    """Return the study of each strategy, and the prepared tasks. With ``dry``, nothing is written.

    Raises UsageError, and PlanError if a task is reserved by --for.
    """
    from micl_cli.sweep.grid import parse_seeds
    from micl_cli.tune.definition import check_tunable

    if arguments.tasks == "":
        raise UsageError("no task is named", "Name the tasks to tune on: --tasks img_cap,aud_qa")
    names = split_tasks(arguments.tasks, flags["benchmark"], session.registry)
    reserved = _reserved(session, arguments.reserved, flags["benchmark"])
    _check_overlap(dict.fromkeys(names, ""), reserved, arguments.allow_overlap)
    requests = _requests(session, arguments, flags, names, parse_seeds(arguments.seed)[0])
    tasks = session.tasks.open_tasks(names, dry=dry, watch=preparing)
    check_tunable(tasks)
    shared = {task.name: task.sha256 for task in tasks}
    _check_overlap(shared, reserved, arguments.allow_overlap, said=set(names) & set(reserved))
    if not reserved:
        note(f"note: report no results on {', '.join(names)} with recipes of this study; --for TASKS checks that")
    options = sorted(given_options(flags).items())
    return _records(session, arguments, options, requests, tasks, tuple(reserved), dry), tasks


def _requests(
    session: Session, arguments: StudyArguments, flags: dict[str, Any], tasks: tuple[str, ...], seed: int
) -> list[tuple[Request, tuple[Dimension, ...]]]:
    """Return a request with the defaults and the fixed values for each strategy, and its space."""
    from micl_cli.sweep.grid import parse_variants
    from micl_cli.tune.records import SPLIT
    from micl_cli.tune.space import changes_for, check_space, parse_space, space_of

    variants, changes = parse_variants(arguments.strategy), parse_space(arguments.space)
    strategies = [variant.strategy for variant in variants]
    if len(set(strategies)) < len(strategies):
        raise UsageError("a strategy is named twice", "Tune its variants in separate studies, with --name.")
    fixed_flags = _fixed_flags(flags)
    given = {**flags, "eval_split": SPLIT}
    labelled = cell_requests(session, variants, given, COMMAND)
    check_space(changes, strategies, session.registry)
    found = []
    for variant, (_, request) in zip(variants, labelled, strict=True):
        own = changes_for(changes, variant.strategy, session.registry)
        fixed = {*fixed_flags, *(name.rpartition(":")[2] for name in variant.options)}
        _refuse_twice(own, fixed)
        request = _with_fixed(replace(request, tasks=tasks, seed=seed), own, session)
        plan = session.plan(request, ())
        space = space_of(plan, own, fixed, session.registry)
        _note_space(session, variant, space)
        found.append((request, space))
    return found


def _fixed_flags(flags: Mapping[str, Any]) -> set[str]:
    """Return the options and settings that flags or variables set; those of configuration files are defaults."""
    given = given_parameters(flags)
    settings = {name for name, setting in declared_settings(Training).items() if setting.parameter in given}
    return settings | {name.rpartition(":")[2] for name in given_options(flags)}


def _refuse_twice(changes: Collection[str], fixed: Collection[str]) -> None:
    if twice := sorted(set(changes) & set(fixed)):
        raise UsageError(f"{twice[0]} is set by a flag and by --space", "Leave one of them out.")


def _with_fixed(request: Request, changes: Mapping[str, SpaceChange], session: Session) -> Request:
    """Return a request with the values that --space fixes."""
    from micl_cli.api.options import options_of

    own = options_of(session.registry.load("strategies", request.strategy))
    fixed = {name: change.text for name, change in changes.items() if change.fixes}
    options = {name: value for name, value in fixed.items() if name in own}
    training = {name: value for name, value in fixed.items() if name not in own}
    return replace(
        request,
        strategy_options={**request.strategy_options, **options},
        training={**request.training, **training},
    )


def _note_space(session: Session, variant: Variant, space: Sequence[Dimension]) -> None:
    """Note if only settings of training are tuned for a strategy. Raises UsageError if nothing is."""
    if not space:
        hint = "Leave out a fixed value, or add an option to the search space: --space NAME=LOW..HIGH"
        problem = f"{variant.strategy} has nothing to tune: it declares no search space, or all of it is fixed"
        raise UsageError(problem, hint)
    if all(dimension.training for dimension in space):
        names = ", ".join(dimension.name for dimension in space)
        note(f"note: no option of {variant.strategy} itself is tuned, only settings of training: {names}")


def _records(
    session: Session,
    arguments: StudyArguments,
    options: Sequence[tuple[str, str]],
    requests: Sequence[tuple[Request, tuple[Dimension, ...]]],
    tasks: Sequence[Task],
    reserved: tuple[str, ...],
    dry: bool,
) -> list[PlannedStudy]:
    from micl_cli.sweep.grid import parse_seeds
    from micl_cli.tune.definition import default_name
    from micl_cli.tune.records import StudyRecord
    from micl_cli.tune.tuning import now

    plans = [session.plan(request, tasks) for request, _ in requests]
    plans = session.with_earlier_digest(plans, dry=dry)
    seeds, first = tuple(parse_seeds(arguments.seed)), plans[0].as_json()
    shared = {key: first[key] for key in ("backbone", "backbone_options", "backbone_digest", "tasks", "data")}
    content = {**shared, "seeds": seeds, "objective": arguments.objective, "space": sorted(arguments.space)}
    content |= {"options": options, "training": requests[0][0].training, "evaluation": first["evaluation"]}
    name = arguments.name or default_name(content)
    studies = []
    for (request, space), plan in zip(requests, plans, strict=True):
        tuned = {dimension.name for dimension in space if dimension.training}
        record = StudyRecord(
            name=name,
            plan=plan.as_json(),
            seeds=seeds,
            objective=arguments.objective,
            space=space,
            given_tasks=arguments.tasks,
            reserved=reserved,
            training={key: getattr(plan.training, key) for key in request.training if key not in tuned},
            created=now(),
        )
        studies.append(PlannedStudy(record, request))
    return studies


# Tasks that --for reserves


def _reserved(session: Session, text: str, benchmark: str) -> dict[str, str]:
    """Return the tasks of --for, each with its sha256, or an empty text if it is not prepared."""
    from micl_cli.store import exists

    names: dict[str, None] = {}
    known = recipe_names(session.settings)
    for word in (word.strip() for word in text.split(",") if word.strip()):
        recipe = word.endswith(".toml") or word in known or f"micl-{word}" in known
        tasks = order_tasks(word, session.settings) if recipe else word
        names |= dict.fromkeys(split_tasks(tasks, benchmark, session.registry))
    if not exists(session.settings.store_url):
        return dict.fromkeys(names, "")
    with session.store_to_read() as store:
        records = {name: store.task(name) for name in names}
    return {name: record.sha256 if record else "" for name, record in records.items()}


def _check_overlap(
    tuned: Mapping[str, str], reserved: Mapping[str, str], allowed: bool, said: Collection[str] = ()
) -> None:
    """Raise PlanError, or warn if ``allowed``, if tuned tasks are reserved. Tasks in ``said`` were warned about."""
    from micl_cli.tune.definition import overlap

    lines = [line for line in overlap(tuned, reserved) if line not in said]
    if not lines:
        return
    problem = f"the study tunes on tasks that --for reserves for results: {', '.join(lines)}"
    if not allowed:
        raise PlanError(problem, "Tune on other tasks, or accept biased results with --allow-overlap.")
    warn(f"{problem}; scores on them favour tuned strategies")
