"""What a report shows, whatever its format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micl_cli.report.data import RunData
from micl_cli.report.document import Block, Code, Heading, Paragraph, Table, document, labels, number, size
from micl_cli.report.matrix import FIGURES


def tables(blocks: list[Block]) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def words(blocks: list[Block]) -> str:
    return "\n".join(block.text for block in blocks if isinstance(block, Heading | Paragraph))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (float("nan"), "-"), (-0.001, "0.00"), (0.0, "0.00"), (-14.975, "-14.97"), (1, "1.00")],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (612_000_000, "612.0 MB"),
        (3 * 10**12, "3000.0 GB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


def test_task_names_are_short_where_that_is_clear() -> None:
    assert labels(["mini/img_cap", "mini/aud_qa"]) == ["img_cap", "aud_qa"]
    assert labels(["mini/img_cap", "micl/img_cap"]) == ["mini/img_cap", "micl/img_cap"]


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
    joint = replace(learnt.stages[0], tasks=learnt.tasks)
    run = replace(plain, matrix=[[None, None], [480.0, 88.25]], stages=[joint])
    scores, *_, costs = tables(document([run]))
    assert scores.rows == [("after 2 tasks together", "480.00", "88.25")]
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


class TestComparison:
    def test_strategies_are_rows(self, learnt: RunData, plain: RunData) -> None:
        finals, means = tables(document([learnt, plain]))[-2:]
        assert finals.columns == ("", "seed", "img_cap", "aud_qa", "MFN")
        assert finals.rows == [
            ("moincl 3f2a91c0", "0", "480.00", "88.25", "284.12"),
            ("finetune 77ab91c0", "1", "120.00", "90.00", "105.00"),
        ]
        assert means.columns[:5] == ("", "MFT", "MFN", "MAA", "BWT")
        assert means.rows[1][4] == "-380.00"

    def test_other_tasks_or_orders_are_warned_of(self, learnt: RunData, plain: RunData) -> None:
        assert "differ in their tasks" not in words(document([learnt, plain]))
        other = replace(plain, tasks=("mini/img_cap", "mini/vid_qa"))
        blocks = document([learnt, other])
        assert "differ in their tasks" in words(blocks)
        assert tables(blocks)[-2].rows[0][2:5] == ("480.00", "88.25", "-")

    def test_runs_alike_are_told_apart_by_more_of_the_id(self, plain: RunData) -> None:
        again = replace(plain, id="77ab91c04d1f")
        rows = tables(document([plain, again]))[-1].rows
        assert [row[0] for row in rows] == ["finetune 77ab91c04d1e", "finetune 77ab91c04d1f"]
