"""Reports for a terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from micl_cli.report.data import RunData
from micl_cli.report.render import render

ONE = r"""
Run 3f2a91c04d1e: demo
======================

Strategy moincl, backbone composed:tiny, seed 0; finished.

Tasks in order: 1 mini/img_cap (cider, n=64), 2 mini/aud_qa (accuracy, n=60).

mini/ tasks are micl's own small tasks, generated from a seed. They are not the
published datasets: compare their scores only with each other.

R: score x100 on each task (column) after learning each task (row)
                 img_cap  aud_qa
---------------  -------  ------
before learning     2.50       -
after 1 img_cap   512.50       -
after 2 aud_qa    480.00   88.25

Figures over T tasks (-: undefined or not measured): mixes scales (cider
0..1000, accuracy 0..100)
figure                    value  formula
-----------------------  ------  -----------------------------------------------
mean fine-tune (MFT)     300.38  mean over i of R[i][i]
mean final (MFN)         284.12  mean over i of R[T][i]
mean average (MAA)       398.31  mean over t of (mean over i <= t of R[t][i])
backward transfer (BWT)  -32.50  mean over i < T of (R[T][i] - R[i][i])
forgetting                32.50  mean over i < T of (R[i][i] - R[T][i])
peak forgetting           32.50  mean over i < T of (max over t < T of R[t][i] -
                                 R[T][i])

Figures from plugins
figure            value
----------------  -----
routing accuracy  99.50

Cost (run: sums of steps and seconds, highest peak and trainable, last stored)
stage       status  steps  examples  seconds  peak memory  trainable    stored
---------  -------  -----  --------  -------  -----------  ---------  --------
1 img_cap  learned    300       480     12.2     612.0 MB     41,472  402.0 kB
2 aud_qa   learned    300       480     15.5       1.2 GB     41,472  803.0 kB
run                   600               27.8       1.2 GB     41,472  803.0 kB

Other metrics, x100, after each stage
                       after 1  after 2
---------------------  -------  -------
img_cap bleu4            71.50    60.25
aud_qa accuracy (val)        -    91.00
""".strip("\n")

COMPARED = r"""
Comparison of 2 runs
====================

The code of these runs is unknown: it was not recorded when
they started.

Final scores, x100 (MFN: their mean): mixes scales (cider
0..1000, accuracy 0..100)
                   seed  img_cap  aud_qa     MFN
-----------------  ----  -------  ------  ------
moincl 3f2a91c0       0   480.00   88.25  284.12
finetune 77ab91c0     1   120.00   90.00  105.00

Figures over all tasks, and cost: mixes scales (cider
0..1000, accuracy 0..100)
                      MFT     MFN     MAA      BWT
-----------------  ------  ------  ------  -------
moincl 3f2a91c0    300.38  284.12  398.31   -32.50
finetune 77ab91c0  295.00  105.00  302.50  -380.00

                   forgetting  peak forgetting  seconds
-----------------  ----------  ---------------  -------
moincl 3f2a91c0         32.50            32.50     27.8
finetune 77ab91c0      380.00           380.00        -

                   peak memory    stored  passes per query
-----------------  -----------  --------  ----------------
moincl 3f2a91c0         1.2 GB  803.0 kB                 1
finetune 77ab91c0            -         -                 -
""".strip("\n")


def test_one_run(learnt: RunData) -> None:
    assert render([learnt], "text") == ONE


def test_two_runs_are_compared_and_wide_tables_cut(learnt: RunData, plain: RunData) -> None:
    assert render([learnt, plain], "text", width=60).endswith("\n\n" + COMPARED)


@pytest.mark.parametrize("width", [1, 60, 80, 200])
def test_lines_keep_to_the_width(learnt: RunData, plain: RunData, width: int) -> None:
    lines = render([learnt, plain], "text", width=width).splitlines()
    assert max(map(len, lines)) <= max(width, 60)


def test_colour_only_adds_escapes(learnt: RunData, plain: RunData) -> None:
    coloured = render([learnt, plain], "text", colour=True)
    assert "\x1b[1mRun 3f2a91c04d1e: demo\x1b[0m\n" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == render([learnt, plain], "text")


def test_nothing_acts_on_the_terminal(nasty: RunData) -> None:
    shown = render([nasty], "text")
    assert r"^\x1b[31m\u202e" in shown
    assert all(c == "\n" or c.isprintable() for c in shown)


def test_line_breaks_in_names_do_not_break_tables(plain: RunData) -> None:
    tasks = ("mini/a\nb", "mini/\u8996\u983b")
    shown = render([replace(plain, tasks=tasks)], "text").splitlines()
    at = shown.index("R: score x100 on each task (column) after learning each task (row)")
    assert shown[at + 1 : at + 5] == [
        "                a\\nb   \u8996\u983b",
        "------------  ------  -----",
        "after 1 a\\nb  500.00      -",
        "after 2 \u8996\u983b  120.00  90.00",
    ]
