"""What a report shows, whatever its format."""

from __future__ import annotations

from dataclasses import replace

from micl_cli.report.blocks import Block, Code, Heading, Paragraph, Table
from micl_cli.report.data import RunData
from micl_cli.report.document import document
from micl_cli.report.matrix import FIGURES


def tables(blocks: list[Block]) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def words(blocks: list[Block]) -> str:
    return "\n".join(block.text for block in blocks if isinstance(block, Heading | Paragraph))


def test_every_figure_stands_with_its_formula(learnt: RunData) -> None:
    table = next(table for table in tables(document([learnt])) if table.prose)
    shown = {row[0]: row[2] for row in table.rows}
    assert shown == {figure.title: figure.formula for figure in FIGURES.values() if figure.name != "fwt"}
    assert all(isinstance(row[2], Code) for row in table.rows)


def test_forward_transfer_is_shown_when_measured(learnt: RunData) -> None:
    run = replace(learnt, matrix=[[512.5, 30.0], [480.0, 88.25]], zero_shot=[2.5, 10.0])
    table = next(table for table in tables(document([run])) if table.prose)
    assert table.rows[-1] == ("forward transfer (FWT)", "20.00", FIGURES["fwt"].formula)


def test_mini_is_said_to_be_mini(learnt: RunData, plain: RunData) -> None:
    for runs in ([learnt], [learnt, plain]):
        assert words(document(runs)).count("not the published datasets") == 1
        assert "1 mini/img_cap" in words(document(runs))
    assert "not the published" not in words(document([replace(learnt, tasks=["micl/img_cap", "micl/aud_qa"])]))


def test_joint_learning_has_one_row(plain: RunData, learnt: RunData) -> None:
    joint = replace(learnt.stages[0], tasks=tuple(learnt.tasks))
    run = replace(plain, matrix=[[None, None], [480.0, 88.25]], stages=[joint])
    scores, *_, costs = tables(document([run]))
    assert scores.rows == [("after 2 joint tasks", "480.00", "88.25")]
    assert [row[0] for row in costs.rows] == ["1 (2 tasks)"]


def test_another_split_is_named(learnt: RunData) -> None:
    run = replace(learnt, matrix=[[None, None], [None, 91.0]], zero_shot=None, split="val")
    scores, *_, others = tables(document([run]))
    assert scores.title.endswith("(val split)")
    assert "aud_qa (accuracy, n=30)" in words(document([run]))
    assert [row[0] for row in others.rows] == [
        "img_cap cider (test)",
        "img_cap bleu4 (test)",
        "aud_qa accuracy (test)",
    ]


def test_an_unscored_run_says_so(plain: RunData) -> None:
    blocks = document([replace(plain, matrix=[], status="interrupted")])
    assert "No task has been scored yet." in words(blocks)
    assert "interrupted" in words(blocks)


def test_a_run_without_tasks_is_shown(plain: RunData) -> None:
    empty = replace(plain, tasks=[], matrix=[])
    assert document([empty])
    assert document([empty, plain])


def test_no_runs() -> None:
    assert document([]) == [Paragraph("No runs to report.")]


def test_passes_that_took_time_have_columns_beside_the_seconds_of_learning(learnt: RunData) -> None:
    stages = [learnt.stages[0], replace(learnt.stages[1], before_seconds=4.5, after_seconds=0.75)]
    costs = tables(document([replace(learnt, stages=stages)]))[-2]
    assert costs.title.endswith("; before and after: seconds of the passes over data around learning")
    assert costs.columns[3:7] == ("examples", "before", "seconds", "after")
    assert [row[4:7] for row in costs.rows] == [("0.0", "12.2", "0.0"), ("4.5", "15.5", "0.8"), ("4.5", "27.8", "0.8")]
