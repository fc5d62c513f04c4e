"""Learning a sequence of tasks: one visible loop, every event yielded."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from micl_cli.api.events import (
    Event,
    Routed,
    RunFinished,
    RunStarted,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
    Validated,
)
from micl_cli.api.strategy import State
from micl_cli.api.task import Task
from micl_cli.errors import Interrupted, MiclError
from micl_cli.training.checkpoint import RunFolder, Snapshot, adapters_of, load_adapters
from micl_cli.training.components import RunComponents, strategy_options
from micl_cli.training.evaluation import score, validate
from micl_cli.training.memory import keep_freed_memory, peak_bytes, reset_peak
from micl_cli.training.state import StageState

ZERO_SHOT = "zero-shot"


@dataclass
class Control:
    """How a run is watched over, without a say in its result.

    ``stop`` tells whether to end as soon as all is kept; ``save_seconds`` is the time between
    step checkpoints; ``keep_answers`` yields the answers behind each score.
    """

    stop: Callable[[], bool] = lambda: False
    save_seconds: float = 5.0
    keep_answers: bool = False

    def pause(self) -> None:
        """Raise Interrupted where a stop was asked for."""
        if self.stop():
            raise Interrupted("interrupted; what is learnt is kept", "Give the same command to go on.")


def learn(components: RunComponents, folder: RunFolder, control: Control) -> Iterator[Event]:
    """Learn every stage that is not learnt yet, and score after each.

    Goes on from the latest checkpoint in ``folder``. Raises Interrupted, CheckpointError, and
    whatever a part raises; what was finished is then on disk.
    """
    plan, started = components.plan, time.perf_counter()
    keep_freed_memory()
    yield RunStarted(
        run=plan.id,
        tasks=list(plan.tasks),
        strategy=plan.strategy,
        backbone=plan.backbone,
        seed=plan.seed,
        resumed_from=_standing(components, folder),
    )
    if plan.evaluation.unseen:
        yield from _score_zero_shot(components, folder, control)
    for position, stage in enumerate(components.stages, 1):
        if folder.has_stage(position):
            yield folder.learned(position)
        else:
            _load_stage(components, folder, position - 1)
            yield from _learn_stage(components, folder, position, stage, control)
        yield from _score_stage(components, folder, position, control)
    yield RunFinished(run=plan.id, status="finished", seconds=time.perf_counter() - started)


def _standing(components: RunComponents, folder: RunFolder) -> tuple[int, int] | None:
    """Where a run goes on: (stage in work, its step), or None for a fresh one."""
    done = 0
    while done < len(components.stages) and folder.has_stage(done + 1):
        done += 1
    step = folder.latest_step()
    if step and step[0] == done + 1:
        return step
    return (done + 1, 0) if done else None


def _learn_stage(
    components: RunComponents, folder: RunFolder, position: int, stage: Sequence[Task], control: Control
) -> Iterator[Event]:
    """Learn one stage from its beginning or its latest step; write it when it is finished."""
    strategy, accelerator, training = components.strategy, components.accelerator, components.plan.training
    reset_peak()
    work = _begin(components, folder, position, stage)
    yield TaskStarted(
        position=position,
        tasks=[task.name for task in stage],
        examples=len(work.examples),
        steps_planned=work.planned,
        trainable_parameters=work.trainable,
    )
    components.backbone.module.train()
    before, saved = time.perf_counter() - work.seconds, time.monotonic()
    while work.step < work.planned and not work.ended:
        started, epoch = time.perf_counter(), work.epoch
        rate = work.set_rate()
        drawn = work.drawn()
        total, terms = 0.0, defaultdict[str, float](float)
        for at in range(0, len(drawn), training.batch_size):
            micro = drawn[at : at + training.batch_size]
            share = len(micro) / len(drawn)
            with accelerator.autocast():
                loss = strategy.loss(strategy.batch(micro)) * share
            accelerator.backward(loss)
            total += float(loss.detach())
            for name, value in strategy.parts.items():
                terms[name] += share * value
        _check_loss(total, position, work.step + 1)
        strategy.constrain()
        if training.max_grad_norm:
            accelerator.clip_grad_norm_(list(strategy.parameters()), training.max_grad_norm)
        work.optimizer.step()
        work.optimizer.zero_grad()
        work.step += 1
        work.learnt_from += len(drawn)
        strategy.step_end(work.step)
        yield Step(
            position=position,
            step=work.step,
            epoch=epoch,
            loss=total,
            lr=rate,
            seconds=time.perf_counter() - started,
            parts=dict(terms),
        )
        if work.epoch != epoch or work.step == work.planned:
            strategy.epoch_end()
            if epoch % training.validate_every == 0 or work.step == work.planned:
                yield from _validate(components, work, stage, epoch)
            components.features.flush()
        work.seconds, work.peak = time.perf_counter() - before, max(work.peak, peak_bytes())
        if control.stop() or time.monotonic() - saved >= control.save_seconds:
            folder.write_step(position, work.step, work.snapshot())
            saved = time.monotonic()
            control.pause()
    work.restore_best()
    for task in stage:
        strategy.end(task)
    work.seconds = time.perf_counter() - before
    learned = _learned(components, work)
    state = strategy.state()
    data = {
        "learned": {k: v for k, v in asdict(learned).items() if k != "restored"},
        "active": components.backbone.active,
    }
    folder.finish_stage(position, Snapshot(adapters_of(components.backbone), state, data))
    components.backbone.module.eval()
    yield learned


def _begin(components: RunComponents, folder: RunFolder, position: int, stage: Sequence[Task]) -> StageState:
    """The stage's work, begun afresh or restored from its latest step."""
    strategy, plan = components.strategy, components.plan
    _place(components, position)
    strategy.rng = random.Random(f"{plan.seed}/{position}/strategy")
    strategy.parts = {}
    torch.manual_seed(plan.seed * 1000 + position)
    work = StageState(components, position, stage)
    latest = folder.latest_step()
    if latest and latest[0] == position:
        work.restore(folder.load_step(*latest))
        return work
    components.backbone.calibrate([example for task in stage for example in task.examples("train")])
    for task in stage:
        strategy.begin(task)
    work.open()
    return work


def _place(components: RunComponents, position: int) -> None:
    """Tell the strategy where in the sequence it is, with the options of that stage."""
    strategy = components.strategy
    strategy.configure(strategy_options(components.plan, type(strategy), position))
    strategy.position, strategy.stage = position, components.stages[position - 1]
    strategy.seen = [task for earlier in components.stages[: position - 1] for task in earlier]


def _validate(components: RunComponents, work: StageState, stage: Sequence[Task], epoch: int) -> Iterator[Event]:
    value = validate(components, stage, pause=lambda: None)
    components.backbone.module.train()
    if value is not None:
        best = work.judge(value)
        yield Validated(position=work.position, step=work.step, epoch=epoch, value=value, best=best)


def _check_loss(loss: float, position: int, step: int) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise MiclError(
            f"the loss is {loss} at step {step} of task {position}",
            "Try a lower --learning-rate, or --precision fp32; the steps before are kept.",
        )


def _learned(components: RunComponents, work: StageState) -> TaskLearned:
    state = components.strategy.state()
    stored = [*adapters_of(components.backbone).values(), *state.tensors.values()]
    return TaskLearned(
        position=work.position,
        tasks=[task.name for task in work.stage],
        data_sha256=[task.sha256 for task in work.stage],
        steps=work.step,
        examples=work.learnt_from,
        seconds=work.seconds,
        peak_bytes=max(work.peak, peak_bytes()),
        trainable_parameters=work.trainable,
        stored_bytes=sum(tensor.nbytes for tensor in stored),
        checkpoint=f"stages/{work.position:02d}",
    )


# Scores


def _score_stage(components: RunComponents, folder: RunFolder, position: int, control: Control) -> Iterator[Event]:
    """Score, after a stage, each task learnt so far (or all), but for what was scored already."""
    known = folder.scores(position)
    yield from known
    done = {event.task for event in known}
    seen = [task for stage in components.stages[:position] for task in stage]
    wanted = components.tasks if components.plan.evaluation.unseen else seen
    missing = [task for task in wanted if task.name not in done]
    if missing and components.strategy.position != position:
        _load_stage(components, folder, position)
    for task in missing:
        yield from _score_and_keep(components, folder, position, task, control)


def _score_zero_shot(components: RunComponents, folder: RunFolder, control: Control) -> Iterator[Event]:
    """Score every task before any learning, through a fresh adapter that is dropped again."""
    known = folder.scores(0)
    yield from known
    missing = [task for task in components.tasks if task.name not in {event.task for event in known}]
    if not missing:
        return
    components.backbone.add_adapter(ZERO_SHOT, seed=components.plan.seed)
    components.backbone.activate(ZERO_SHOT)
    for task in missing:
        yield from _score_and_keep(components, folder, 0, task, control)
    components.backbone.activate(None)
    components.backbone.drop_adapter(ZERO_SHOT)


def _score_and_keep(
    components: RunComponents, folder: RunFolder, after: int, task: Task, control: Control
) -> Iterator[Event]:
    split = components.plan.evaluation.split
    # Drawn anew for each score, so that a run interrupted between two of them answers the same.
    components.strategy.rng = random.Random(f"{components.plan.seed}/{after}/{task.name}")
    events = list(score(components, task, after, split=split, keep_answers=control.keep_answers, pause=control.pause))
    folder.add_scores(after, [event for event in events if isinstance(event, (Scored, Routed))])
    components.features.flush()
    yield from events


def _load_stage(components: RunComponents, folder: RunFolder, position: int) -> None:
    """Put a finished stage's weights and memories in place, unless they are (0: nothing to do)."""
    if position == 0 or components.strategy.position == position:
        return
    restore_stage(components, folder, position)


def restore_stage(components: RunComponents, folder: RunFolder, position: int) -> None:
    """Make the components stand as they did when stage ``position`` was finished."""
    snapshot, strategy = folder.load_stage(position), components.strategy
    _place(components, position)
    load_adapters(components.backbone, snapshot.adapters)
    components.backbone.activate(snapshot.data["active"])
    strategy.restore(State(snapshot.strategy.tensors, snapshot.strategy.data))
    components.backbone.module.eval()


def replay(folder: RunFolder, stages: int) -> Iterator[Event]:
    """The events of a finished run, from its files alone: nothing is loaded or learnt again."""
    yield from folder.scores(0)
    for position in range(1, stages + 1):
        yield folder.learned(position)
        yield from folder.scores(position)
