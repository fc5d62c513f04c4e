"""Evaluation: score a run again, from the checkpoint of any stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from micl_cli.api.events import Event, Notice
from micl_cli.api.options import parse_options
from micl_cli.api.task import Task
from micl_cli.errors import CheckpointError, StoreError, UsageError
from micl_cli.plan import Evaluation, Plan, check_fit
from micl_cli.records import EnvironmentRecord
from micl_cli.session.environment import environment_of
from micl_cli.session.learning import use_threads
from micl_cli.session.library import Watch, unwatched
from micl_cli.session.notices import answers_over_limit
from micl_cli.session.run_log import EventLog, run_log
from micl_cli.session.session import Session
from micl_cli.store import RunRecord, Store

if TYPE_CHECKING:
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.components import RunComponents
    from micl_cli.training.loop import Control

StageRange = tuple[int | None, int | None]
"""The first and last position of stages to evaluate; None stands for the last learnt stage."""
LAST_STAGE: StageRange = (None, None)
_RECENT_RUNS = 200
"""How many runs are searched for one that has a finished stage."""


def evaluate(
    session: Session,
    run_id: str,
    names: Sequence[str],
    split: str,
    control: Control,
    *,
    stages: Sequence[StageRange] = (LAST_STAGE,),
    examples: int | None = None,
    scoring: str | None = None,
    decoding: Mapping[str, Any] | None = None,
    device: str = "auto",
    watch: Watch = unwatched,
) -> Iterator[Event]:
    """Score a run's model after each of ``stages`` on the named tasks, by default on the tasks of the run.

    ``decoding`` holds settings of evaluation that replace those of the run in generating answers, by name; None stands
    for the run's. Scores are stored, unless ``examples`` limits the examples or the decoding differs from the run's; if
    storing fails, a notice says why. Raises UsageError if a stage is not learnt, CheckpointError if its
    checkpoint is gone or damaged, PlanError if a task does not fit or the base model has changed.
    """
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.evaluation import metric_notes

    run, plan = session.record(run_id)
    folder = RunFolder(session.settings.runs / run_id)
    notices = session.check_base(plan)
    own = session.open_planned(run_id, plan, watch=watch)
    tasks = session.tasks.open_tasks(names, watch=watch) if names else own
    use_threads(session, plan, run)
    changed: dict[str, Any] = {"examples": examples, "score": scoring}
    changed = {name: value for name, value in changed.items() if value}
    others = other_decoding(plan, decoding or {})
    plan = replace(plan, evaluation=replace(plan.evaluation, **changed, **others))
    kept = not (examples or others)
    components = _components(session, plan, own, tasks, device)
    positions = learnt_positions(session, folder, run, stages)
    notices = [*notices, *components.notes, *metric_notes(components, tasks, split)]
    notices += _answer_notices(tasks, split, kept, plan, control)
    yield from (Notice(text=text) for text in notices)
    environment = environment_of(components, session.registry)
    record = EnvironmentRecord(purpose="scoring", position=positions[0], environment=environment)
    with run_log(folder.path), session.store_to_read() as store:
        problems, log = set[str](), EventLog()
        for events in _scored(components, folder, tasks, positions, split, control):
            problem = _stored(store, run_id, events, record) if kept else ""
            for event in events:
                log.take(event)
                yield event
            if problem and problem not in problems:
                problems.add(problem)
                yield Notice(text=f"scores are not stored: {problem}")


def other_decoding(plan: Plan, decoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``decoding`` that differ from those of the plan; None stands for the plan's.

    Raises OptionError for a value that is not valid.
    """
    given = {name: value for name, value in decoding.items() if value is not None}
    parsed = parse_options(Evaluation, given, owner="evaluation")
    return {name: value for name, value in parsed.items() if value != getattr(plan.evaluation, name)}


def _answer_notices(tasks: Sequence[Task], split: str, kept: bool, plan: Plan, control: Control) -> Iterator[str]:
    """Yield notices about answers that are not stored."""
    if kept:
        yield from answers_over_limit(tasks, split, plan.evaluation.examples, control.max_answers)
    elif control.max_answers is None:
        yield "answers are not stored, nor are scores, with --examples or decoding settings other than the run's"


def _scored(
    components: RunComponents,
    folder: RunFolder,
    tasks: Sequence[Task],
    positions: Sequence[int],
    split: str,
    control: Control,
) -> Iterator[list[Event]]:
    """Yield the events of each task after each position, in order. Position 0 is before any learning."""
    from micl_cli.training.loop import restore_stage, score_task, zero_shot

    for position in positions:
        if position:
            restore_stage(components, folder, position)
        with nullcontext() if position else zero_shot(components):
            for task in tasks:
                yield score_task(components, task, position, split, control)


def _stored(store: Store, run_id: str, events: Sequence[Event], environment: EnvironmentRecord) -> str:
    """Write events and their environment to the store. Return why that failed, or an empty text.

    Computed scores are shown in any case.
    """
    try:
        store.record_environment(run_id, environment)
        store.write(run_id, events)
    except StoreError as error:
        return error.message
    return ""


def _components(session: Session, plan: Plan, own: Sequence[Task], tasks: Sequence[Task], device: str) -> RunComponents:
    """Return the components of a run, checked and with metrics and notes for other tasks than its own."""
    from micl_cli.training.components import check_content, load_metrics

    components = session.components(plan, own, device)
    check_fit(plan, tasks, components.backbone, session.registry.load("strategies", plan.strategy))
    components.notes = check_content(components.backbone, [task for task in tasks if task.name not in plan.tasks])
    components.metrics = load_metrics(session.registry, tasks, session.resources)
    return components


def learnt_positions(session: Session, folder: RunFolder, run: RunRecord, stages: Sequence[StageRange]) -> list[int]:
    """Return the positions of stages whose checkpoints are to be used, in order.

    Raises UsageError if one is not learnt, CheckpointError if its checkpoint is gone.
    """
    stored = session.details(run.id).stages
    learnt = [each.position for each in stored if each.status == "learned" or folder.has_stage(each.position)]
    last = max(learnt, default=0)
    if not last and any(end != 0 for _, end in stages):
        hint = f"Continue it: micl learn --resume {run.id}{_with_stage(session)}"
        raise UsageError(f"run {run.id} has no finished stage yet", hint)
    positions: set[int] = set()
    for start, end in (tuple(last if bound is None else bound for bound in stage) for stage in stages):
        if absent := next((n for n in (start, end) if n not in (0, *learnt)), None):
            raise UsageError(f"stage {absent} is not learnt", f"Learnt stages: {', '.join(map(str, learnt))}.")
        positions.update(range(start, end + 1))
    for position in sorted(positions - {0}):
        if not folder.has_stage(position):
            hint = f"Make it again with the same learn command, or: micl learn --resume {run.id}"
            raise CheckpointError(f"the checkpoint of stage {position} is gone: {folder.stage(position)}", hint)
    return sorted(positions)


def _with_stage(session: Session) -> str:
    """Return the latest run that has a finished stage, as the end of a hint; empty if no recent run has one."""
    with session.store_to_read() as store:
        results = store.results(session.runs()[:_RECENT_RUNS])
    latest = next((id for id, run in results.items() if any(stage.status == "learned" for stage in run.stages)), "")
    return f"; the latest run that has one: {latest}" if latest else ""
