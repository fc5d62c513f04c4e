"""Blocks of a report (headings, paragraphs, tables), and how values are written in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = "-"
PASSES = "; before and after: seconds of the passes over data around learning"
"""What explains the columns of passes in the title of a table of costs."""


class Code(str):
    """A formula: text that a format may set in a monospaced font."""


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
    """Cells as text. The first column is left-aligned, with ``prose`` also the last; all others are right-aligned."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    prose: bool = False


Block = Heading | Paragraph | Table


def number(value: float | None) -> str:
    """Return a score with two decimals (never "-0.00"), or MISSING where there is no finite one."""
    return MISSING if value is None or not math.isfinite(value) else f"{round(value, 2) + 0.0:.2f}"


def size(count: int) -> str:
    """Return a number of bytes in the largest decimal unit that fits."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 999.95:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def labels(tasks: Sequence[str]) -> list[str]:
    """Return the names of tasks without their benchmarks, or in full where short names would be ambiguous."""
    short = [task.rpartition("/")[2] for task in tasks]
    return short if len(set(short)) == len(tasks) else list(tasks)
