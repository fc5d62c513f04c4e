"""The search space that an option declares for ``micl tune``."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Search:
    """The space in which ``micl tune`` searches for the value of an option: an interval of numbers, or ``choices``.

    With ``log``, an interval is sampled on a logarithmic scale. With ``relative``, its ends are multiples of the
    default, for an option whose default depends on the backbone.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    relative: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def problem(self) -> str:
        """What is wrong with the declaration, or an empty text."""
        if self.choices:
            others = (self.low, self.high, self.log or None, self.relative or None)
            if any(value is not None for value in others):
                return "choices and an interval exclude each other"
            return "" if len(self.choices) > 1 else "a single choice leaves nothing to search"
        if self.low is None or self.high is None:
            return "an interval needs both ends"
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            return f"{self.low:g}..{self.high:g} is not an interval"
        return "a logarithmic interval must begin above 0" if self.log and self.low <= 0 else ""

    def __str__(self) -> str:
        if self.choices:
            return "|".join(map(str, self.choices))
        scale = ", log" if self.log else ""
        return f"{self.low:g}..{self.high:g}{' times the default' if self.relative else ''}{scale}"
