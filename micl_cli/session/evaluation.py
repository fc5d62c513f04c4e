"""Evaluation: score a run again, from the checkpoint of any stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from micl_cli.api.events import Event, Notice
from micl_cli.api.task import Task
from micl_cli.errors import CheckpointError, StoreError, UsageError
from micl_cli.plan import Plan, check_fit
from micl_cli.session.learning import use_threads
from micl_cli.session.library import Watch, unwatched
from micl_cli.session.session import Session
from micl_cli.store import RunRecord, Store

if TYPE_CHECKING:
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.components import RunComponents
    from micl_cli.training.loop import Control


def evaluate(
    session: Session,
    run_id: str,
    names: Sequence[str],
    split: str,
    control: Control,
    *,
    stage: int | None = None,
    examples: int | None = None,
    scoring: str | None = None,
    device: str = "auto",
    watch: Watch = unwatched,
) -> Iterator[Event]:
    """Score a run's model, as of ``stage`` (None: its last), on the named tasks, or on its own if none is named.

    Scores are stored, unless ``examples`` limits their number; if that fails, a notice says why. Raises
    UsageError if the stage is not learnt, CheckpointError if its checkpoint is gone or damaged, PlanError if a task
    does not fit or the base model has changed.
    """
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.evaluation import metric_notes, score
    from micl_cli.training.loop import restore_stage

    run, plan = session.record(run_id)
    folder = RunFolder(session.settings.runs / run_id)
    notices = session.check_base(plan)
    own = session.open_planned(run_id, plan, watch=watch)
    tasks = session.tasks.open_tasks(names, watch=watch) if names else own
    use_threads(session, plan, run)
    changed: dict[str, Any] = {"examples": examples, "score": scoring}
    changed = {name: value for name, value in changed.items() if value}
    plan = replace(plan, evaluation=replace(plan.evaluation, **changed))
    components = _components(session, plan, own, tasks, device)
    position = _position(session, folder, run, stage)
    restore_stage(components, folder, position)
    notices = [*notices, *components.notes, *metric_notes(components, tasks, split)]
    if examples and control.keep_answers:
        notices.append("answers are not stored: scores on --examples are not stored either")
    yield from (Notice(text=text) for text in notices)
    keep, pause = control.keep_answers, control.pause
    with session.store_to_read() as store:
        problems: set[str] = set()
        for task in tasks:
            events = list(score(components, task, position, split=split, keep_answers=keep, pause=pause))
            problem = "" if examples else _stored(store, run_id, events)
            components.features.flush()
            yield from events
            if problem and problem not in problems:
                problems.add(problem)
                yield Notice(text=f"scores are not stored: {problem}")


def _stored(store: Store, run_id: str, events: Sequence[Event]) -> str:
    """Write events to the store. Return why that failed, or an empty text: computed scores are shown in any case."""
    try:
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
    components.metrics = load_metrics(session.registry, tasks)
    return components


def _position(session: Session, folder: RunFolder, run: RunRecord, stage: int | None) -> int:
    """Return the position of the stage to evaluate, by default the last that is learnt.

    Raises UsageError if it is not learnt, CheckpointError if its checkpoint is gone.
    """
    stages = session.details(run.id).stages
    learnt = [each.position for each in stages if each.status == "learned" or folder.has_stage(each.position)]
    if not learnt:
        raise UsageError(f"run {run.id} has no finished stage yet", f"Continue it: micl learn --resume {run.id}")
    if stage is not None and stage not in learnt:
        raise UsageError(f"stage {stage} is not learnt", f"Learnt stages: {', '.join(map(str, learnt))}.")
    position = stage or max(learnt)
    if not folder.has_stage(position):
        hint = f"Make it again with the same learn command, or: micl learn --resume {run.id}"
        raise CheckpointError(f"the checkpoint of stage {position} is gone: {folder.stage(position)}", hint)
    return position
