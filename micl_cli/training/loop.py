"""The learning loop: learn a sequence of tasks and yield every event."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from math import ceil, isfinite, nan
from typing import Literal

import torch

from micl_cli.api.events import (
    Event,
    Notice,
    PassProgress,
    Routed,
    RunFinished,
    RunStarted,
    Scored,
    TaskLearned,
    TaskStarted,
    Validated,
)
from micl_cli.api.strategy import Strategy
from micl_cli.api.task import Task
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.components import RunComponents
from micl_cli.training.control import Control as Control
from micl_cli.training.evaluation import score, undecided_tasks, validate, validation_loss
from micl_cli.training.memory import keep_freed_memory, peak_bytes, reset_peak
from micl_cli.training.snapshot import Snapshot, restore_snapshot, take_snapshot
from micl_cli.training.state import StageState
from micl_cli.training.step import train_step

_log = logging.getLogger(__name__)
ZERO_SHOT = "zero-shot"
VALIDATION = "validation"
PASS_EVENT_SECONDS = 0.2
"""The minimum time between two progress events of a pass; the first and the last are always yielded."""


def learn(components: RunComponents, folder: RunFolder, control: Control) -> Iterator[Event]:
    """Learn every stage that is not learnt yet, and score after each.

    Resumes from the latest checkpoint in ``folder``. Raises Interrupted, CheckpointError and any
    exception of a component; finished stages are on disk by then.
    """
    plan, started = components.plan, time.perf_counter()
    keep_freed_memory()
    yield RunStarted(
        run=plan.id,
        tasks=list(plan.tasks),
        strategy=plan.strategy,
        backbone=plan.backbone,
        seed=plan.seed,
        resumed_from=_resumed_from(components, folder),
        plan=plan.as_json(),
    )
    if plan.evaluation.unseen:
        yield from _score_zero_shot(components, folder, control)
    with components.reading_ahead(control.loader_workers):
        for position in range(1, len(components.stages) + 1):
            if folder.has_stage(position):
                yield folder.learned(position)
            else:
                _load_stage(components, folder, position - 1)
                yield from _learn_stage(components, folder, position, control)
            yield from _score_stage(components, folder, position, control)
    yield RunFinished(run=plan.id, status="finished", seconds=time.perf_counter() - started)


def _resumed_from(components: RunComponents, folder: RunFolder) -> tuple[int, int] | None:
    """Return (stage, step) that a run resumes from, or None for a new run."""
    done = 0
    while done < len(components.stages) and folder.has_stage(done + 1):
        done += 1
    step = folder.latest_step()
    if step and step[0] == done + 1:
        return step
    return (done + 1, 0) if done else None


def _learn_stage(components: RunComponents, folder: RunFolder, position: int, control: Control) -> Iterator[Event]:
    """Learn one stage, from its start or its latest checkpoint, and write the finished stage."""
    strategy, training = components.strategy, components.plan.training
    reset_peak()
    state = _begin(components, folder, position)
    if state.phase == "before":
        has_pass = yield from _run_pass(components, state, "before", control)
        state.open()
        if has_pass:
            _save_step(folder, state, control)
    yield TaskStarted(
        position=position,
        tasks=[task.name for task in state.stage.tasks],
        examples=state.example_count,
        steps_planned=state.steps_planned,
        trainable_parameters=state.trainable_parameters,
    )
    if state.phase == "learning":
        yield from _notices(components, state)
        components.train()
        started, saved = time.perf_counter() - state.seconds, time.monotonic()
        while not state.finished:
            epoch = state.epoch
            yield train_step(components, state)
            if state.epoch != epoch or state.step == state.steps_planned:
                changed = state.end_epoch()
                if changed or epoch % training.validate_every == 0 or state.step == state.steps_planned:
                    yield from _validate(components, state, control)
                components.features.flush()
            state.seconds, state.peak_bytes = time.perf_counter() - started, max(state.peak_bytes, peak_bytes())
            if control.stop() or time.monotonic() - saved >= control.save_seconds:
                _save_step(folder, state, control)
                saved = time.monotonic()
                control.pause()
        state.restore_best()
        components.eval()
        if state.changed_by(lambda: strategy.end(state.stage)):
            yield from _validate(components, state, control, final=True)
        state.seconds, state.phase = time.perf_counter() - started, "after"
        if type(strategy).after is not Strategy.after:
            _save_step(folder, state, control)
    before = state.learnt()
    yield from _run_pass(components, state, "after", control)
    if state.differs_from(before):
        yield from _validate(components, state, control, final=True)
    learned, snapshot = _finish(components, state)
    control.commit()
    _log.info("writing the checkpoint of stage %d", position)
    folder.finish_stage(position, snapshot)
    yield learned


def _save_step(folder: RunFolder, state: StageState, control: Control) -> None:
    """Write a step checkpoint, after the store has everything up to it."""
    control.commit()
    _log.debug("writing the checkpoint of stage %d, step %d", state.stage.position, state.step)
    folder.write_step(state.stage.position, state.step, state.snapshot())


def _begin(components: RunComponents, folder: RunFolder, position: int) -> StageState:
    """Return the state of a stage, at its start or restored from its latest checkpoint."""
    stage = components.enter(position)
    torch.manual_seed(components.plan.seed * 1000 + position)
    state = StageState(components, stage)
    latest = folder.latest_step()
    if latest and latest[0] == position:
        state.restore(folder.load_step(*latest))
    else:
        components.backbone.calibrate([example for task in stage.tasks for example in task.examples("train")])
        components.strategy.begin(stage)
        components.strategy.modules.to(components.accelerator.device)
    components.eval()
    return state


def _run_pass(
    components: RunComponents, state: StageState, when: Literal["before", "after"], control: Control
) -> Generator[Event, None, bool]:
    """Run the strategy's pass over data before or after learning. Return whether the strategy has one.

    Yields progress a few times a second. Nothing is saved during the pass: it starts again if the process ends.
    """
    started, shown, latest, progress = time.perf_counter(), float("-inf"), None, None
    for progress in getattr(components.strategy, when)(state.stage):
        done, total, label, note = progress
        if note:
            yield Notice(text=note)
        latest = PassProgress(position=state.stage.position, when=when, done=done, total=total, label=label)
        if time.monotonic() - shown >= PASS_EVENT_SECONDS:
            yield latest
            shown, latest = time.monotonic(), None
        control.pause()
    if latest:
        yield latest
    setattr(state, f"{when}_seconds", time.perf_counter() - started if progress else 0.0)
    state.peak_bytes = max(state.peak_bytes, peak_bytes())
    components.features.flush()
    return progress is not None


def _notices(components: RunComponents, state: StageState) -> Iterator[Notice]:
    """Yield what the user should know about the validation and the last epoch of a stage before it is learnt."""
    undecided = undecided_tasks(components, state.stage.tasks)
    for task in undecided:
        text = f"{task.metric} gives every answer to the validation examples of {task.name} the same score"
        instead = "the validation loss" if len(undecided) == len(state.stage.tasks) else "the score of the other tasks"
        yield Notice(text=f"{text}: {instead} chooses the best weights")
    if state.partial_steps and components.strategy.acts_at_epoch_end:
        left = f"{state.partial_steps} of the {state.steps_per_epoch} steps of an epoch"
        acts = f"{components.plan.strategy} acts at the end of whole epochs only"
        yield Notice(text=f"--max-steps ends task {state.stage.position} after {left}: {acts}")


def _validate(
    components: RunComponents, state: StageState, control: Control, *, final: bool = False
) -> Iterator[Event]:
    """Validate the current weights; ``final`` ones, which the strategy made of the best, do not compete with them."""
    tasks, position, step = state.stage.tasks, state.stage.position, state.step
    epoch = ceil(step / state.steps_per_epoch)
    value, criterion = validate(components, tasks, pause=partial(control.answering, VALIDATION)), "score"
    if value is None:
        value, criterion = validation_loss(components, tasks), "loss"
    if final:
        components.eval()
    else:
        components.train()
    if value is None:
        return
    finite = isfinite(value)
    best = not final and state.record_validation((value if criterion == "score" else -value) if finite else nan)
    if finite:
        yield Validated(
            position=position, step=step, epoch=epoch, value=value, best=best, criterion=criterion, final=final
        )
    else:
        yield Notice(text=f"the validation {criterion} at step {step} of task {position} is {value}: it is not counted")


def _finish(components: RunComponents, state: StageState) -> tuple[TaskLearned, Snapshot]:
    """Return the event and the snapshot of a learnt stage."""
    components.eval()
    snapshot = take_snapshot(components.strategy)
    learned = TaskLearned(
        position=state.stage.position,
        tasks=[task.name for task in state.stage.tasks],
        data_sha256=[task.sha256 for task in state.stage.tasks],
        steps=state.step,
        examples=state.examples_seen,
        seconds=state.seconds,
        before_seconds=state.before_seconds,
        after_seconds=state.after_seconds,
        peak_bytes=state.peak_bytes,
        trainable_parameters=state.trainable_parameters,
        stored_bytes=snapshot.nbytes,
        checkpoint=f"stages/{state.stage.position:02d}",
    )
    snapshot.data["learned"] = {key: value for key, value in asdict(learned).items() if key != "restored"}
    return learned, snapshot


# Scores


def _score_stage(components: RunComponents, folder: RunFolder, position: int, control: Control) -> Iterator[Event]:
    """Score the tasks learnt up to a stage, or all, after it. Scores on disk are not computed again."""
    stored = folder.scores(position)
    yield from stored
    done = {event.task for event in stored}
    learnt = [task for stage in components.stages[:position] for task in stage]
    to_score = components.tasks if components.plan.evaluation.unseen else learnt
    missing = [task for task in to_score if task.name not in done]
    if missing:
        _load_stage(components, folder, position)
    for task in missing:
        yield from _score_and_store(components, folder, position, task, control)


def _score_zero_shot(components: RunComponents, folder: RunFolder, control: Control) -> Iterator[Event]:
    """Score every task before any learning. Scores on disk are not computed again."""
    stored = folder.scores(0)
    yield from stored
    missing = [task for task in components.tasks if task.name not in {event.task for event in stored}]
    if not missing:
        return
    with zero_shot(components):
        for task in missing:
            yield from _score_and_store(components, folder, 0, task, control)


@contextmanager
def zero_shot(components: RunComponents) -> Iterator[None]:
    """Use the model as it is before any learning during the block: with a new adapter, which is removed afterwards."""
    adapters = components.backbone.adapters
    adapters.add(ZERO_SHOT, seed=components.plan.seed)
    adapters.activate(ZERO_SHOT)
    try:
        yield
    finally:
        adapters.activate(None)
        adapters.remove(ZERO_SHOT)


def score_task(components: RunComponents, task: Task, after: int, split: str, control: Control) -> list[Event]:
    """Return the events of scoring a task after a stage, whose state is loaded."""
    # Seeded for each score, so that a run that was interrupted between two scores gives the same answers.
    rng = random.Random(f"{components.plan.seed}/{after}/{task.name}")
    components.strategy.stage = replace(components.stage(after), rng=rng)
    pause = control.pause_in(task.name)
    events = list(score(components, task, after, split=split, max_answers=control.max_answers, pause=pause))
    components.features.flush()
    return events


def _score_and_store(
    components: RunComponents, folder: RunFolder, after: int, task: Task, control: Control
) -> Iterator[Event]:
    events = score_task(components, task, after, components.plan.evaluation.split, control)
    yield from events
    control.commit()
    folder.add_scores(after, [event for event in events if isinstance(event, (Scored, Routed))])


def _load_stage(components: RunComponents, folder: RunFolder, position: int) -> None:
    """Restore a finished stage, unless the components are already in its state or ``position`` is 0."""
    if position and components.position != position:
        restore_stage(components, folder, position)


def restore_stage(components: RunComponents, folder: RunFolder, position: int) -> None:
    """Restore the components to their state at the end of stage ``position``."""
    components.enter(position)
    restore_snapshot(components.strategy, folder.load_stage(position))
    components.eval()


def replay(folder: RunFolder, stages: int) -> Iterator[Event]:
    """Yield the events of a finished run from its files, without loading the model."""
    yield from folder.scores(0)
    for position in range(1, stages + 1):
        yield folder.learned(position)
        yield from folder.scores(position)
