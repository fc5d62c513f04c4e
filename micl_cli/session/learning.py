"""Learning: carry out a plan, and record and deliver its events."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from micl_cli.api.events import Event, Notice, RunFinished, RunStarted
from micl_cli.api.task import Task
from micl_cli.errors import BusyError, Interrupted, StoreError
from micl_cli.io.lock import locked_folder
from micl_cli.plan import Plan
from micl_cli.redaction import redact
from micl_cli.session.environment import changes, environment_of
from micl_cli.session.lease import leased
from micl_cli.session.listeners import EventDelivery, ListenerFactory
from micl_cli.session.notices import answers_over_limit, cite, rename, unheard, unstored_answers
from micl_cli.session.recorder import Recorder, new_run
from micl_cli.session.run_info import run_info
from micl_cli.session.run_log import EventLog, run_log
from micl_cli.session.session import Session
from micl_cli.store import RunRecord, Store

if TYPE_CHECKING:
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.loop import Control


def learn(
    session: Session,
    plan: Plan,
    tasks: Sequence[Task],
    control: Control,
    *,
    device: str = "auto",
    threads: int = 0,
    listeners: Mapping[str, ListenerFactory] | None = None,
    recipe: Mapping[str, str] | None = None,
    group: str = "",
    skip_finished_elsewhere: bool = False,
) -> Generator[Event, None, None]:
    """Carry out a plan, or resume its run. For a finished run, the recorded events are yielded again.

    ``recipe`` holds the name, sha256 and citation of the plan's recipe, which the run records;
    ``group`` is the name of its sweep or study, for listeners. With
    ``skip_finished_elsewhere``, nothing is yielded for a run that another machine with the same store has
    finished. Raises BusyError if another process or machine works on the run, Interrupted once all is saved, and any
    error of a component.
    """
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.loop import learn as learn_stages

    settings = session.settings
    folder = RunFolder(settings.runs / plan.id)
    with locked_folder(folder.path), session.store() as store:
        folder.tidy()
        repaired = folder.repair()
        run = store.run(plan.id)
        notices = [*rename(store, plan, run), *cite(store, run, recipe)]
        notices += [*(unstored_answers(store, run) if control.max_answers is None else ())]
        if run and run.status == "finished" and _is_complete(folder, store, plan.id):
            notices += unheard(bool(listeners))
            yield from _with_notices(_recorded_events(plan, store, folder), notices)
            return
        with leased(plan.id, store, settings) as lease, run_log(folder.path):
            run = store.run(plan.id)  # another machine may have finished it before this one acquired the lease
            if skip_finished_elsewhere and run and run.status == "finished" and not folder.has_checkpoints:
                return
            use_threads(session, plan, run, threads)
            session.check_option_files(plan)
            components = session.components(plan, tasks, device)
            if plan.parent:
                folder.inherit(RunFolder(settings.runs / plan.parent), components.stages)
            environment = environment_of(components, session.registry)
            session.tasks.register_missing(tasks, store)
            info = partial(run_info, session, plan.id, group)
            delivery = EventDelivery(plan.id, session.registry, listeners or {}, info)
            store.start_run(new_run(plan, environment, session.registry, recipe))
            _inherit_environments(plan, store)
            recorder = Recorder(store, plan.id, environment)
            learning = learn_stages(components, folder, replace(control, commit=recorder.flush))
            notices += answers_over_limit(tasks, plan.evaluation.split, plan.evaluation.examples, control.max_answers)
            notices += [*repaired, *changes(run.environment if run else {}, environment), *components.notes]
            yield from _record(plan, recorder, delivery, lease.guard(_with_notices(learning, notices)))


def _is_complete(folder: RunFolder, store: Store, run: str) -> bool:
    """Return whether a finished run is complete on disk, and intact in the store, where it is else written again."""
    try:
        stages = len(store.details(run).stages)
    except StoreError:
        return False
    return folder.has_stages(stages) and folder.has_scores(stages)


def _inherit_environments(plan: Plan, store: Store) -> None:
    """Record the environments of the run that a plan continues, unless that is done: its stages were learnt in them."""
    if plan.parent:
        with suppress(StoreError):  # its rows may have been deleted
            if not store.details(plan.id).environments:
                for record in store.details(plan.parent).environments:
                    store.record_environment(plan.id, record)


def use_threads(session: Session, plan: Plan, run: RunRecord | None, threads: int = 0) -> None:
    """Set the number of CPU threads: ``threads``, else that of the ``run``, else the backbone's preference.

    A resumed run uses the same number as before, since the order of summation depends on it.
    """
    import torch

    former = int(run.environment.get("threads", 0)) if run else 0
    if count := threads or former or session.preferred_threads(plan):
        torch.set_num_threads(count)


def _with_notices(events: Iterator[Event], notices: Sequence[str]) -> Iterator[Event]:
    """Yield events, with notices after the first event, RunStarted."""
    for number, event in enumerate(events):
        yield event
        if not number:
            yield from (Notice(text=text) for text in notices)


def _record(plan: Plan, recorder: Recorder, delivery: EventDelivery, events: Iterator[Event]) -> Iterator[Event]:
    """Store, deliver and yield events. The end of the run is stored and delivered also after an error."""
    started, log = time.perf_counter(), EventLog()
    try:
        for event in events:
            recorder.take(event)
            log.take(event)
            yield from delivery.deliver(event)
            if isinstance(event, RunFinished):
                yield from delivery.close()
            yield event
    except BaseException as error:
        status, shown = _ending(error, plan)
        if not recorder.ended:
            if not isinstance(error, BusyError):  # the machine that took the run over stores its end
                with suppress(StoreError):  # a full disk also stops the store: report the error of the run
                    recorder.end(status, _first_line(shown) if status == "failed" else "")
            list(delivery.deliver(RunFinished(run=plan.id, status=status, seconds=time.perf_counter() - started)))
        if shown is not error:
            raise shown from error
        raise
    finally:
        delivery.close()


def _ending(error: BaseException, plan: Plan) -> tuple[str, BaseException]:
    """Return the status of a run that ``error`` ended, and the error to show."""
    if isinstance(error, Interrupted):
        error.hint = f"Continue with the same command, or: micl learn --resume {plan.id}"
    if isinstance(error, (Interrupted, KeyboardInterrupt, GeneratorExit, BusyError)):
        return "interrupted", error
    if isinstance(error, Exception):
        from micl_cli.training.memory import with_memory_hint

        return "failed", with_memory_hint(error)
    return "failed", error


def _first_line(error: BaseException) -> str:
    """Return the first line of an error, as it may be stored: without secrets that a library wrote into it."""
    return redact(str(error).splitlines()[0]) if str(error) else type(error).__name__


def _recorded_events(plan: Plan, store: Store, folder: RunFolder) -> Iterator[Event]:
    """Yield the events of a finished run from its files."""
    from micl_cli.training.loop import replay

    stages = store.details(plan.id).stages
    yield RunStarted(
        run=plan.id,
        tasks=list(plan.tasks),
        strategy=plan.strategy,
        backbone=plan.backbone,
        seed=plan.seed,
        plan=plan.as_json(),
    )
    yield from replay(folder, len(stages))
    yield Notice(text="this run is already finished; --again starts another one")
    yield RunFinished(run=plan.id, status="finished", seconds=sum(stage.seconds for stage in stages))
