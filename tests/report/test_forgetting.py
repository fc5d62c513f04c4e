from __future__ import annotations

import pytest

from micl_cli.records import ScoreRecord, StageRecord
from micl_cli.report.data import RunData
from micl_cli.report.forgetting import forgetting_types
from micl_cli.report.matrix import ScoreMatrix

NONE = None


def test_what_only_the_generated_answers_lost_is_superficial() -> None:
    generated = ScoreMatrix([[90.0, NONE], [20.0, 80.0]])
    chosen = ScoreMatrix([[92.0, NONE], [85.0, 81.0]])
    (found,) = forgetting_types(["a", "b"], generated, chosen)
    assert found.as_json() == {"task": "a", "after": 2, "total": 70.0, "superficial": 63.0, "essential": 7.0}


def test_a_task_without_both_scores_is_left_out() -> None:
    generated = ScoreMatrix([[90.0, NONE, NONE], [20.0, 80.0, NONE], [10.0, 70.0, 60.0]])
    chosen = ScoreMatrix([[NONE] * 3, [NONE, 80.0, NONE], [NONE, 75.0, 60.0]])
    assert [(entry.task, entry.after) for entry in forgetting_types(["a", "b", "c"], generated, chosen)] == [("b", 3)]


def test_a_run_has_them_from_its_scores() -> None:
    stages = [
        StageRecord(
            position=position, tasks=(task,), status="learned", steps=1, examples=1, seconds=1.0,
            peak_bytes=1, trainable_parameters=1, stored_bytes=1,
        )
        for position, task in ((1, "a"), (2, "b"))
    ]  # fmt: skip
    rows = [
        (1, "a", "accuracy", 90.0),
        (2, "a", "accuracy", 20.0),
        (1, "a", "choices", 92.0),
        (2, "a", "choices", 85.0),
    ]
    scores = [
        ScoreRecord(after=after, task=task, metric=metric, value=value, n=10, main=metric == "accuracy")
        for after, task, metric, value in rows
    ]
    run = RunData(
        id="r", name="", strategy="s", backbone="b", seed=0, status="finished", tasks=["a", "b"],
        matrix=[[90.0, NONE], [20.0, 80.0]], stages=stages, scores=scores,
    )  # fmt: skip
    (found,) = run.forgetting_types
    assert (found.total, found.essential) == (70.0, pytest.approx(7.0))
