"""Pairwise comparisons of methods over their common seeds: difference, p values and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from micl_cli.report.options import ReportOptions
from micl_cli.report.statistics import (
    EQUIVALENCE,
    Mean,
    Sample,
    estimate,
    holm,
    is_different,
    is_equivalent,
    paired_p,
    vary,
)
from micl_cli.report.summary_figures import SummaryFigure

MIN_SEEDS = 2
UNDECIDED = "undecided"
Samples = tuple[str, Mapping[str, Sample]]
"""The label of a method and its samples by figure."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference of two methods in a figure, ``first`` minus ``second``, over ``n`` common seeds.

    ``p`` is that of the paired t test, None if the difference does not vary; ``p_adjusted`` is corrected for all
    comparisons of the summary. ``verdict`` is "equivalent within MARGIN", "A higher", "B higher" or "undecided".
    Methods that are equivalent within the margin are called so even if their difference is significant.
    """

    first: str
    second: str
    figure: str
    n: int
    difference: Mean
    p: float | None
    equivalent: bool
    p_adjusted: float | None = None
    verdict: str = UNDECIDED

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "first": self.first,
            "second": self.second,
            "figure": self.figure,
            "n": self.n,
            **self.difference.as_json(),
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "equivalent": self.equivalent,
            "verdict": self.verdict,
        }


def compare(
    pairs: Iterable[tuple[Samples, Samples]], figures: Sequence[SummaryFigure], options: ReportOptions
) -> list[Comparison]:
    """Return the comparison of each pair in each figure, with p values adjusted for all comparisons.

    Pairs with fewer than MIN_SEEDS common seeds are left out.
    """
    found = [_comparison(first, second, figure, options) for first, second in pairs for figure in figures]
    made = [each for each in found if each]
    adjusted = holm([each.p for each in made])
    return [_judged(each, p, options.margin) for each, p in zip(made, adjusted, strict=True)]


def _comparison(first: Samples, second: Samples, figure: SummaryFigure, options: ReportOptions) -> Comparison | None:
    if figure.name not in first[1] or figure.name not in second[1]:
        return None
    sample = first[1][figure.name].minus(second[1][figure.name])
    if sample.n < MIN_SEEDS:
        return None
    return Comparison(
        first=first[0],
        second=second[0],
        figure=figure.name,
        n=sample.n,
        difference=estimate(sample, options.interval),
        p=paired_p(sample.values),
        equivalent=_equivalent(sample, options),
    )


def _equivalent(sample: Sample, options: ReportOptions) -> bool:
    """Return whether a difference is within the margin by Student's t and by the chosen interval.

    A bootstrap of few seeds alone would find equivalence too easily, and differences that do not vary by t.
    """
    margin, methods = options.margin, dict.fromkeys(("t", options.interval))
    if margin is None or not vary(sample.values):
        return False
    return all(is_equivalent(estimate(sample, method, EQUIVALENCE), margin) for method in methods)


def _judged(each: Comparison, adjusted: float | None, margin: float | None) -> Comparison:
    shown = UNDECIDED
    if each.equivalent:
        shown = f"equivalent within {margin:g}"
    elif is_different(each.difference, adjusted):
        shown = f"{each.first if each.difference.mean > 0 else each.second} higher"
    return replace(each, p_adjusted=adjusted, verdict=shown)
