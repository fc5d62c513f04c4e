"""The progress of a run, as far as the rows in the store tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from micl_cli.plan import Plan, Training
from micl_cli.records import StageRecord, StepRecord
from micl_cli.report.blocks import labels
from micl_cli.report.data import RunData
from micl_cli.training.steps import planned_steps

RECENT_STEPS = 50
"""The number of latest steps by whose mean time the time left is estimated."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, with ``phase`` as text.

    ``stage`` counts from 1, of ``stages``; it is 0 before the first one. ``share`` of the learning is done (0 to 1).
    ``step`` and ``steps`` are those of the stage, None outside its learning; ``loss`` is that of the latest step.
    ``seconds_left`` is an estimate for learning alone, None without a basis.
    """

    phase: str
    stage: int
    stages: int
    share: float
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    seconds_left: float | None = None


def progress_of(data: RunData, plan: Plan, steps: Sequence[StepRecord], examples: Mapping[str, int]) -> Progress:
    """Return the progress of a run, of which ``steps`` are the latest ones.

    ``examples`` holds the number of training examples by task, which is needed to estimate the steps of later stages.
    """
    loss = steps[-1].loss if steps else None
    count = len(data.stages) + len(_later(data))
    if data.status == "finished":
        return Progress(phase="finished", stage=count, stages=count, share=1.0, loss=loss)
    if not data.stages:
        return Progress(phase=_before_learning(data), stage=0, stages=count, share=0.0, loss=loss)
    current = data.stages[-1]
    planned, step = _planned(current, plan.training), _step(current, steps)
    left = _steps_left(0 if step is None else planned - step, _later(data), plan.training, examples)
    return Progress(
        phase=_phase(data, plan, f"{current.position}/{count} {', '.join(labels(current.tasks))}", step, planned),
        stage=current.position,
        stages=count,
        share=_share(data, 1.0 if step is None else step / planned),
        step=step,
        steps=None if step is None else planned,
        loss=loss,
        seconds_left=_seconds_left(left, steps),
    )


def _later(data: RunData) -> list[str]:
    """Return the tasks of the stages that have not started."""
    return list(data.tasks[sum(len(stage.tasks) for stage in data.stages) :])


def _planned(stage: StageRecord, training: Training) -> int:
    return planned_steps(training, stage.examples, len(stage.tasks))


def _step(stage: StageRecord, steps: Sequence[StepRecord]) -> int | None:
    """Return the latest step of a stage, or None if it is learnt."""
    if stage.status == "learned":
        return None
    return steps[-1].step if steps and steps[-1].position == stage.position else 0


def _share(data: RunData, of_stage: float) -> float:
    *before, current = (len(stage.tasks) for stage in data.stages)
    return min(1.0, (sum(before) + current * min(of_stage, 1.0)) / max(1, len(data.tasks)))


def _steps_left(now: int, later: Sequence[str], training: Training, examples: Mapping[str, int]) -> int | None:
    """Return the steps of the current stage and of later ones, each with one task; None if their size is unknown."""
    if not all(task in examples for task in later):
        return None
    return max(0, now) + sum(planned_steps(training, examples[task], 1) for task in later)


def _seconds_left(left: int | None, steps: Sequence[StepRecord]) -> float | None:
    if left is None or not steps:
        return None
    return left * sum(step.seconds for step in steps) / len(steps)


def _before_learning(data: RunData) -> str:
    scored = sum(score.after == 0 for score in data.scores)
    return f"scoring before learning, {scored} of {len(data.tasks)}" if scored else "starting"


def _phase(data: RunData, plan: Plan, title: str, step: int | None, planned: int) -> str:
    """Return what a run does in its latest stage, or did when it was interrupted."""
    if step is not None:
        return f"{title}: step {step} of {planned}" if step < planned else f"{title}: all {planned} steps"
    position, learnt = data.stages[-1].position, len(data.tasks) - len(_later(data))
    scored = sum(score.after == position and data.in_matrix(score) for score in data.scores)
    to_score = len(data.tasks) if plan.evaluation.unseen else learnt
    return f"{title}: scoring, {scored} of {to_score}" if scored < to_score else f"{title}: learnt and scored"
