"""Reports as Markdown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micl_cli.report.blocks import Code
from micl_cli.report.data import RunData
from micl_cli.report.render import render
from micl_cli.report.render.markdown import escaped

ONE = r"""
## Run 3f2a91c04d1e: demo

Strategy moincl, backbone composed:tiny, seed 0; finished.

Tasks in order: 1 mini/img_cap (cider, n=64), 2 mini/aud_qa (accuracy, n=60).

mini/ tasks are micl's own small tasks, generated from a seed. They are not the published datasets: compare their scores only with each other.

**R: score x100 on each task (column) after learning each task (row)**

|  | img_cap | aud_qa |
| --- | ---: | ---: |
| before learning | 2.50 | - |
| after 1 img_cap | 512.50 | - |
| after 2 aud_qa | 480.00 | 88.25 |

**Figures over T tasks (-: undefined or not measured): mixes scales (cider 0..1000, accuracy 0..100)**

| figure | value | formula |
| --- | ---: | --- |
| mean fine-tune (MFT) | 300.38 | `mean over i of R[i][i]` |
| mean final (MFN) | 284.12 | `mean over i of R[T][i]` |
| mean average (MAA) | 398.31 | `mean over t of (mean over i <= t of R[t][i])` |
| backward transfer (BWT) | -32.50 | `mean over i < T of (R[T][i] - R[i][i])` |
| forgetting | 32.50 | `mean over i < T of (R[i][i] - R[T][i])` |
| peak forgetting | 32.50 | `mean over i < T of (max over t < T of R[t][i] - R[T][i])` |

**Figures from plugins**

| figure | value |
| --- | ---: |
| routing accuracy | 99.50 |

**Cost (run: sums of steps and seconds, highest peak and trainable, last stored)**

| stage | status | steps | examples | seconds | peak memory | trainable | stored |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 1 img_cap | learned | 300 | 480 | 12.2 | 612.0 MB | 41,472 | 402.0 kB |
| 2 aud_qa | learned | 300 | 480 | 15.5 | 1.2 GB | 41,472 | 803.0 kB |
| run |  | 600 |  | 27.8 | 1.2 GB | 41,472 | 803.0 kB |

**Other metrics, x100, after each stage**

|  | after 1 | after 2 |
| --- | ---: | ---: |
| img_cap bleu4 | 71.50 | 60.25 |
| aud_qa accuracy (val) | - | 91.00 |
""".strip("\n")  # noqa: E501


def test_one_run(learnt: RunData) -> None:
    assert render([learnt], "md") == ONE


def test_names_are_not_markup(nasty: RunData) -> None:
    title = render([nasty], "md").splitlines()[0]
    name = r"a\|b &lt;b&gt;x&lt;/b&gt; \\textbf{y} \[z\](u) \*\_\$&amp;%\#\~^\\x1b\[31m\\u202e"
    assert title == f"## Run 77ab91c04d1e: {name}"


def test_cells_keep_to_their_column(plain: RunData) -> None:
    shown = render([replace(plain, tasks=("mini/a|b", "mini/c\nd"))], "md").splitlines()
    assert r"|  | a\|b | c\\nd |" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("img_cap", "img_cap"),
        ("_em_", r"\_em\_"),
        ("a__b", r"a\_\_b"),
        (Code("R[t][i]"), "`R[t][i]`"),
        (Code("a|`b"), r"a\|\`b"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert escaped(text) == shown
