"""What a report of several runs compares."""

from __future__ import annotations

from dataclasses import replace

from micl_cli.report.blocks import Paragraph, Table
from micl_cli.report.comparison import comparison
from micl_cli.report.data import RunData


def tables(*runs: RunData) -> list[Table]:
    return [block for block in comparison(runs) if isinstance(block, Table)]


def words(*runs: RunData) -> str:
    return "\n".join(block.text for block in comparison(runs) if isinstance(block, Paragraph))


def test_strategies_are_rows(learnt: RunData, plain: RunData) -> None:
    finals, means = tables(learnt, plain)[-2:]
    assert finals.columns == ("", "seed", "img_cap", "aud_qa", "MFN")
    assert finals.rows == [
        ("moincl 3f2a91c0", "0", "480.00", "88.25", "284.12"),
        ("finetune 77ab91c0", "1", "120.00", "90.00", "105.00"),
    ]
    assert means.columns[:5] == ("", "MFT", "MFN", "MAA", "BWT")
    assert means.rows[1][4] == "-380.00"


def test_other_tasks_or_orders_are_warned_of(learnt: RunData, plain: RunData) -> None:
    assert "differ in their tasks" not in words(learnt, plain)
    other = replace(plain, tasks=("mini/img_cap", "mini/vid_qa"))
    assert "differ in their tasks" in words(learnt, other)
    assert tables(learnt, other)[-2].rows[0][2:5] == ("480.00", "88.25", "-")


def test_runs_alike_are_told_apart_by_more_of_the_id(plain: RunData) -> None:
    again = replace(plain, id="77ab91c04d1f")
    rows = tables(plain, again)[-1].rows
    assert [row[0] for row in rows] == ["finetune 77ab91c04d1e", "finetune 77ab91c04d1f"]


def test_passes_that_took_time_are_compared_too(learnt: RunData, plain: RunData) -> None:
    stages = [learnt.stages[0], replace(learnt.stages[1], before_seconds=4.5)]
    costs = tables(replace(learnt, stages=stages), plain)[-1]
    assert costs.columns[-5:] == ("before", "seconds", "peak memory", "stored", "passes per query")
    assert [row[-5:-2] for row in costs.rows] == [("4.5", "27.8", "1.2 GB"), ("-", "-", "-")]
