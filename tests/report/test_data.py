"""Runs as data: totals, and R from scores."""

from __future__ import annotations

from dataclasses import replace

from micl_cli.records import ScoreRecord, StageRecord
from micl_cli.report.data import Cost, RunData, score_matrix, time_columns

TASKS = ("mini/img_cap", "mini/aud_qa")
FIRST = StageRecord(
    position=1,
    tasks=TASKS[:1],
    status="learned",
    steps=10,
    examples=20,
    seconds=1.5,
    peak_bytes=900,
    trainable_parameters=50,
    stored_bytes=70,
)
SECOND = replace(FIRST, position=2, tasks=TASKS[1:], seconds=2.0, peak_bytes=800, trainable_parameters=60)


def run(*stages: StageRecord) -> RunData:
    return RunData(
        id="1",
        name="",
        strategy="finetune",
        backbone="composed",
        seed=0,
        status="finished",
        tasks=TASKS,
        matrix=[[80.0], [60.0, 90.0]],
        stages=stages,
    )


def score(after: int, task: str, value: float | None, **changes: object) -> ScoreRecord:
    return replace(ScoreRecord(after=after, task=task, metric="accuracy", value=value, n=5), **changes)  # type: ignore[arg-type]


def test_totals_sum_time_and_keep_the_peaks() -> None:
    total = run(FIRST, SECOND).cost
    assert total == Cost(seconds=3.5, peak_bytes=900, trainable_parameters=60, stored_bytes=70)


def test_the_last_checkpoint_on_disk_is_the_one_stored() -> None:
    assert run(replace(FIRST, stored_bytes=90), SECOND).cost.stored_bytes == 70
    assert run(FIRST, replace(SECOND, status="interrupted", stored_bytes=0)).cost.stored_bytes == 70


def test_a_run_without_stages_cost_nothing() -> None:
    assert run().cost == Cost(seconds=0.0, peak_bytes=0, trainable_parameters=0, stored_bytes=0)


def test_the_passes_around_learning_are_summed_apart() -> None:
    total = run(replace(FIRST, before_seconds=4.0, after_seconds=0.5), replace(SECOND, before_seconds=1.0)).cost
    assert (total.before_seconds, total.seconds, total.after_seconds) == (5.0, 3.5, 0.5)


def test_only_passes_that_took_time_have_a_column() -> None:
    assert list(time_columns([FIRST, SECOND])) == ["seconds"]
    assert list(time_columns([FIRST, replace(SECOND, before_seconds=1.0)])) == ["before", "seconds"]
    assert list(time_columns([replace(FIRST, after_seconds=1.0)])) == ["seconds", "after"]


def test_figures_come_with_the_run() -> None:
    assert run().metrics["bwt"] == -20.0
    assert run().r.rows() == [[80.0, None], [60.0, 90.0]]


class TestScoreMatrix:
    def test_each_stage_fills_the_row_of_its_task(self) -> None:
        scores = [score(1, TASKS[0], 80.0), score(2, TASKS[0], 60.0), score(2, TASKS[1], 90.0)]
        assert score_matrix(TASKS, [SECOND, FIRST], scores) == ([[80.0, None], [60.0, 90.0]], None)

    def test_scores_before_learning_are_the_zero_shot_row(self) -> None:
        matrix, zero_shot = score_matrix(TASKS, [FIRST], [score(0, TASKS[1], 3.0), score(1, TASKS[0], 80.0)])
        assert zero_shot == [None, 3.0]
        assert matrix == [[80.0, None], [None, None]]

    def test_joint_learning_fills_the_last_row(self) -> None:
        joint = replace(FIRST, tasks=TASKS)
        scores = [score(1, TASKS[0], 80.0), score(1, TASKS[1], 90.0)]
        assert score_matrix(TASKS, [joint], scores) == ([[None, None], [80.0, 90.0]], None)

    def test_other_metrics_splits_and_tasks_stay_out(self) -> None:
        scores = [
            score(1, TASKS[0], 1.0, main=False, metric="bleu4"),
            score(1, TASKS[0], 2.0, split="val"),
            score(1, "mini/vid_qa", 3.0),
            score(7, TASKS[0], 4.0),
        ]
        assert score_matrix(TASKS, [FIRST], scores) == ([[None, None], [None, None]], None)
        assert score_matrix(TASKS, [FIRST], scores, split="val")[0][0] == [2.0, None]

    def test_a_stage_of_other_tasks_has_no_row(self) -> None:
        other = replace(FIRST, tasks=("mini/vid_qa",))
        assert score_matrix(TASKS, [other], [score(1, TASKS[0], 80.0)]) == ([[None, None], [None, None]], None)
