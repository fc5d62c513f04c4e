"""The blocks of a report (headings, paragraphs, tables), and the formatting of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from micl_cli.report.statistics import Mean

MISSING = "-"
PASSES = "; before and after: seconds of the passes over data around learning"
"""The explanation of the columns "before" and "after" in the title of a table of costs."""


class Code(str):
    """A formula, which formats may set in a monospaced font."""


@dataclass(frozen=True)
class Heading:
    """The title of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of text. The first column and, with ``prose``, the last are left-aligned, all others right-aligned."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    prose: bool = False


Block = Heading | Paragraph | Table


def number(value: float | None) -> str:
    """Return a score with two decimals (never "-0.00"), or MISSING if it is None or not finite."""
    return MISSING if value is None or not math.isfinite(value) else f"{round(value, 2) + 0.0:.2f}"


def interval(mean: Mean | None) -> str:
    """Return "mean [low, high]", the mean alone if it has no interval, or MISSING."""
    if mean is None:
        return MISSING
    if mean.low is None:
        return number(mean.mean)
    return f"{number(mean.mean)} [{number(mean.low)}, {number(mean.high)}]"


def size(count: int) -> str:
    """Return a number of bytes in the largest decimal unit that fits."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 999.95:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def labels(tasks: Sequence[str]) -> list[str]:
    """Return the names of tasks without their benchmarks, or the full names if short ones are ambiguous."""
    short = [task.rpartition("/")[2] for task in tasks]
    return short if len(set(short)) == len(tasks) else list(tasks)
