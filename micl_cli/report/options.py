"""The options of a report of several runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IntervalMethod = Literal["t", "bca", "hierarchical"]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How runs are summarised.

    ``relative_to`` is the strategy of the reference runs ("joint" or "single"; None: the first of them that has runs).
    ``interval`` is the method of the 95 % intervals. ``margin`` is the largest difference, in points, at which
    methods are still equivalent; None disables the test.
    """

    summary_only: bool = False
    relative_to: str | None = None
    interval: IntervalMethod = "t"
    margin: float | None = None


DEFAULT = ReportOptions()
