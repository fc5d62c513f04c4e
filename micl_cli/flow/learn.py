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
from micl_cli.flow.checkpoint import RunFolder, Snapshot, adapters_of, load_adapters
from micl_cli.flow.evaluate import score, validate
from micl_cli.flow.memory import keep_freed_memory, peak_bytes, reset_peak
from micl_cli.flow.parts import Parts, strategy_options
from micl_cli.flow.work import Work

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


def learn(parts: Parts, folder: RunFolder, control: Control) -> Iterator[Event]:
    """Learn every stage that is not learnt yet, and score after each.

    Goes on from the latest checkpoint in ``folder``. Raises Interrupted, CheckpointError, and
    whatever a part raises; what was finished is then on disk.
    """
    plan, started = parts.plan, time.perf_counter()
    keep_freed_memory()
    yield RunStarted(
        run=plan.id,
        tasks=list(plan.tasks),
        strategy=plan.strategy,
        backbone=plan.backbone,
        seed=plan.seed,
        resumed_from=_standing(parts, folder),
    )
    if plan.evaluation.unseen:
        yield from _score_zero_shot(parts, folder, control)
    for position, stage in enumerate(parts.stages, 1):
        if folder.has_stage(position):
            yield folder.learned(position)
        else:
            _load_stage(parts, folder, position - 1)
            yield from _learn_stage(parts, folder, position, stage, control)
        yield from _score_stage(parts, folder, position, control)
    yield RunFinished(run=plan.id, status="finished", seconds=time.perf_counter() - started)


def _standing(parts: Parts, folder: RunFolder) -> tuple[int, int] | None:
    """Where a run goes on: (stage in work, its step), or None for a fresh one."""
    done = 0
    while done < len(parts.stages) and folder.has_stage(done + 1):
        done += 1
    step = folder.latest_step()
    if step and step[0] == done + 1:
        return step
    return (done + 1, 0) if done else None


def _learn_stage(
    parts: Parts, folder: RunFolder, position: int, stage: Sequence[Task], control: Control
) -> Iterator[Event]:
    """Learn one stage from its beginning or its latest step; write it when it is finished."""
    strategy, accelerator, training = parts.strategy, parts.accelerator, parts.plan.training
    reset_peak()
    work = _begin(parts, folder, position, stage)
    yield TaskStarted(
        position=position,
        tasks=[task.name for task in stage],
        examples=len(work.examples),
        steps_planned=work.planned,
        trainable_parameters=work.trainable,
    )
    parts.backbone.module.train()
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
                yield from _validate(parts, work, stage, epoch)
            parts.features.flush()
        work.seconds, work.peak = time.perf_counter() - before, max(work.peak, peak_bytes())
        if control.stop() or time.monotonic() - saved >= control.save_seconds:
            folder.write_step(position, work.step, work.snapshot())
            saved = time.monotonic()
            control.pause()
    work.take_best()
    for task in stage:
        strategy.end(task)
    work.seconds = time.perf_counter() - before
    learned = _learned(parts, work)
    state = strategy.state()
    data = {"learned": {k: v for k, v in asdict(learned).items() if k != "restored"}, "active": parts.backbone.active}
    folder.finish_stage(position, Snapshot(adapters_of(parts.backbone), state, data))
    parts.backbone.module.eval()
    yield learned


def _begin(parts: Parts, folder: RunFolder, position: int, stage: Sequence[Task]) -> Work:
    """The stage's work, begun afresh or restored from its latest step."""
    strategy, plan = parts.strategy, parts.plan
    _place(parts, position)
    strategy.rng = random.Random(f"{plan.seed}/{position}/strategy")
    strategy.parts = {}
    torch.manual_seed(plan.seed * 1000 + position)
    work = Work(parts, position, stage)
    latest = folder.latest_step()
    if latest and latest[0] == position:
        work.restore(folder.load_step(*latest))
        return work
    parts.backbone.meet([example for task in stage for example in task.examples("train")])
    for task in stage:
        strategy.begin(task)
    work.open()
    return work


def _place(parts: Parts, position: int) -> None:
    """Tell the strategy where in the sequence it is, with the options of that stage."""
    strategy = parts.strategy
    strategy.configure(strategy_options(parts.plan, type(strategy), position))
    strategy.position, strategy.stage = position, parts.stages[position - 1]
    strategy.seen = [task for earlier in parts.stages[: position - 1] for task in earlier]


def _validate(parts: Parts, work: Work, stage: Sequence[Task], epoch: int) -> Iterator[Event]:
    value = validate(parts, stage, pause=lambda: None)
    parts.backbone.module.train()
    if value is not None:
        best = work.judge(value)
        yield Validated(position=work.position, step=work.step, epoch=epoch, value=value, best=best)


def _check_loss(loss: float, position: int, step: int) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise MiclError(
            f"the loss is {loss} at step {step} of task {position}",
            "Try a lower --learning-rate, or --precision fp32; the steps before are kept.",
        )


def _learned(parts: Parts, work: Work) -> TaskLearned:
    state = parts.strategy.state()
    stored = [*adapters_of(parts.backbone).values(), *state.tensors.values()]
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


def _score_stage(parts: Parts, folder: RunFolder, position: int, control: Control) -> Iterator[Event]:
    """Score, after a stage, each task learnt so far (or all), but for what was scored already."""
    known = folder.scores(position)
    yield from known
    done = {event.task for event in known}
    seen = [task for stage in parts.stages[:position] for task in stage]
    wanted = parts.tasks if parts.plan.evaluation.unseen else seen
    missing = [task for task in wanted if task.name not in done]
    if missing and parts.strategy.position != position:
        _load_stage(parts, folder, position)
    for task in missing:
        yield from _score_and_keep(parts, folder, position, task, control)


def _score_zero_shot(parts: Parts, folder: RunFolder, control: Control) -> Iterator[Event]:
    """Score every task before any learning, through a fresh adapter that is dropped again."""
    known = folder.scores(0)
    yield from known
    missing = [task for task in parts.tasks if task.name not in {event.task for event in known}]
    if not missing:
        return
    parts.backbone.add_adapter(ZERO_SHOT, seed=parts.plan.seed)
    parts.backbone.activate(ZERO_SHOT)
    for task in missing:
        yield from _score_and_keep(parts, folder, 0, task, control)
    parts.backbone.activate(None)
    parts.backbone.drop_adapter(ZERO_SHOT)


def _score_and_keep(parts: Parts, folder: RunFolder, after: int, task: Task, control: Control) -> Iterator[Event]:
    split = parts.plan.evaluation.split
    # Drawn anew for each score, so that a run interrupted between two of them answers the same.
    parts.strategy.rng = random.Random(f"{parts.plan.seed}/{after}/{task.name}")
    events = list(score(parts, task, after, split=split, keep_answers=control.keep_answers, pause=control.pause))
    folder.add_scores(after, [event for event in events if isinstance(event, (Scored, Routed))])
    parts.features.flush()
    yield from events


def _load_stage(parts: Parts, folder: RunFolder, position: int) -> None:
    """Put a finished stage's weights and memories in place, unless they are (0: nothing to do)."""
    if position == 0 or parts.strategy.position == position:
        return
    restore_stage(parts, folder, position)


def restore_stage(parts: Parts, folder: RunFolder, position: int) -> None:
    """Make the parts stand as they did when stage ``position`` was finished."""
    snapshot, strategy = folder.load_stage(position), parts.strategy
    _place(parts, position)
    load_adapters(parts.backbone, snapshot.adapters)
    parts.backbone.activate(snapshot.data["active"])
    strategy.restore(State(snapshot.strategy.tensors, snapshot.strategy.data))
    parts.backbone.module.eval()


def replay(folder: RunFolder, stages: int) -> Iterator[Event]:
    """The events of a finished run, from its files alone: nothing is loaded or learnt again."""
    yield from folder.scores(0)
    for position in range(1, stages + 1):
        yield folder.learned(position)
        yield from folder.scores(position)
