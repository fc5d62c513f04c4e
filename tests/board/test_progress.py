"""What a run does, how much of it is done, and how long learning still takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.board.progress import progress_of
from micl_cli.plan import Evaluation, Plan, Training
from micl_cli.records import ScoreRecord, StageRecord, StepRecord
from micl_cli.report.data import RunData

TASKS = ("own/a", "own/b", "own/c")
SIZES = dict.fromkeys(TASKS, 40)


def plan(**evaluation: Any) -> Plan:
    """Ten steps for each task."""
    training = Training(batch_size=4, epochs=1)
    fields: dict[str, Any] = {"strategy": "finetune", "backbone": "toy", "tasks": TASKS, "seed": 0}
    return Plan(**fields, training=training, evaluation=Evaluation(**evaluation), data=dict.fromkeys(TASKS, "a"))


def stage(position: int, status: str, tasks: tuple[str, ...] = ()) -> StageRecord:
    tasks = tasks or TASKS[position - 1 : position]
    sizes: dict[str, Any] = {"seconds": 1.0, "peak_bytes": 1, "trainable_parameters": 1, "stored_bytes": 1}
    return StageRecord(position=position, tasks=tasks, status=status, steps=0, examples=40 * len(tasks), **sizes)


def steps(position: int, *numbers: int) -> list[StepRecord]:
    return [StepRecord(position=position, step=n, epoch=1, loss=1.0, lr=0.1, seconds=2.0) for n in numbers]


def run(*stages: StageRecord, status: str = "running", scored: tuple[tuple[int, str], ...] = ()) -> RunData:
    scores = [ScoreRecord(after=after, task=task, metric="accuracy", value=1.0, n=1) for after, task in scored]
    fields: dict[str, Any] = {"id": "ab12", "name": "", "strategy": "finetune", "backbone": "toy", "seed": 0}
    return RunData(**fields, status=status, tasks=TASKS, matrix=[], stages=stages, scores=scores)


def test_the_time_left_covers_the_stages_to_come() -> None:
    found = progress_of(run(stage(1, "running")), plan(), steps(1, 3, 4), SIZES)
    assert (found.phase, found.step, found.steps, found.loss) == ("1/3 a: step 4 of 10", 4, 10, 1.0)
    assert found.seconds_left == pytest.approx(2.0 * (6 + 10 + 10))
    assert found.share == pytest.approx(0.4 / 3)
    assert progress_of(run(stage(1, "running")), plan(), steps(1, 4), {}).seconds_left is None
    assert progress_of(run(stage(1, "running")), plan(), [], SIZES).seconds_left is None


@pytest.mark.parametrize(
    ("data", "phase"),
    [
        (run(), "starting"),
        (run(scored=((0, "own/a"),)), "scoring before learning, 1 of 3"),
        (run(stage(1, "running")), "1/3 a: step 0 of 10"),
        (run(stage(1, "learned")), "1/3 a: scoring, 0 of 1"),
        (run(stage(1, "learned"), scored=((1, "own/a"),)), "1/3 a: learnt and scored"),
        (run(stage(1, "learned"), scored=((1, "other/x"),)), "1/3 a: scoring, 0 of 1"),
        (run(stage(1, "learned"), stage(2, "interrupted"), status="interrupted"), "2/3 b: step 0 of 10"),
        (run(stage(1, "learned", TASKS), scored=((1, "own/a"),)), "1/1 a, b, c: scoring, 1 of 3"),
        (run(*(stage(n, "learned") for n in (1, 2, 3)), status="finished"), "finished"),
    ],
)
def test_the_phase_follows_from_the_rows(data: RunData, phase: str) -> None:
    assert progress_of(data, plan(), [], SIZES).phase == phase


def test_tasks_that_are_not_learnt_yet_are_scored_if_the_plan_says_so() -> None:
    data = run(stage(1, "learned"), scored=((1, "own/a"),))
    assert progress_of(data, plan(unseen=True), [], SIZES).phase == "1/3 a: scoring, 1 of 3"


@given(st.integers(1, 3), st.integers(0, 12), st.sampled_from(["running", "learned", "interrupted", "failed"]))
def test_the_share_grows_with_the_steps(position: int, step: int, status: str) -> None:
    stages = [stage(n, "learned") for n in range(1, position)]
    now, later = (
        progress_of(run(*stages, stage(position, status)), plan(), steps(position, n), SIZES) for n in (step, step + 1)
    )
    assert (position - 1) / 3 <= now.share <= later.share <= position / 3 + 1e-9
    assert now.seconds_left is not None
    assert later.seconds_left is not None
    assert now.seconds_left >= later.seconds_left >= 0


def test_a_finished_run_is_done_though_it_ended_early() -> None:
    data = replace(run(stage(1, "learned")), status="finished")
    assert (progress_of(data, plan(), steps(1, 4), SIZES).share, data.status) == (1.0, "finished")
