"""Numerical noise: the spread of a figure over attempts at one plan that differ in thread count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from micl_cli.report.data import RunData
from micl_cli.report.methods import Runs, order_of, split
from micl_cli.report.provenance import WITHOUT_EFFECT
from micl_cli.report.statistics import spread

THREADS = "threads"
_IGNORED = WITHOUT_EFFECT | {THREADS}
"""Entries of an environment that may differ between attempts; ``code`` tells whether a commit changed anything."""

Value = Callable[[RunData], float | None]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of a method: for each figure, the standard deviation over thread counts, and that over seeds.

    Both are standard deviations of single runs, pooled: the first over the ``cells`` (pairs of order and seed) that
    were learnt with several of the ``threads``, the second over the orders. None if it cannot be computed.
    """

    label: str
    threads: tuple[int, ...]
    cells: int
    over_threads: Mapping[str, float | None]
    over_seeds: Mapping[str, float | None]

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "label": self.label,
            "threads": list(self.threads),
            "cells": self.cells,
            "over_threads": dict(self.over_threads),
            "over_seeds": dict(self.over_seeds),
        }


def noise_of(label: str, runs: Runs, figures: Mapping[str, Value]) -> Noise | None:
    """Return the noise of a method's runs, or None if no plan was learnt with several thread counts."""
    cells = [cell for cell in split(runs, _attempted_plan).values() if len(split(cell, _threads)) > 1]
    if not cells:
        return None
    orders = [list(split(members, lambda run: run.seed).values()) for members in split(runs, order_of).values()]
    return Noise(
        label=label,
        threads=tuple(sorted({_threads(run) for cell in cells for run in cell})),
        cells=len(cells),
        over_threads={
            name: spread(_means(list(split(cell, _threads).values()), value) for cell in cells)
            for name, value in figures.items()
        },
        over_seeds={name: spread(_means(seeds, value) for seeds in orders) for name, value in figures.items()},
    )


def _means(groups: Sequence[Runs], value: Value) -> list[float]:
    """Return the mean of a figure over each group of runs, without groups in which it is missing."""
    values = [[value(run) for run in group] for group in groups]
    return [fmean(each) for group in values if len(each := [v for v in group if v is not None]) == len(group)]


def _attempted_plan(run: RunData) -> tuple[object, ...]:
    """Return a key that is equal for attempts at one plan on one machine, with one known thread count each."""
    environment = {name: value for name, value in run.environment.items() if name not in _IGNORED}
    attempted = "" if _threads(run) else run.id
    return order_of(run), run.seed, tuple(sorted(environment.items())), attempted


def _threads(run: RunData) -> int:
    """Return the thread count of a run, 0 if it is not known or changed while the run was made."""
    text = run.environment.get(THREADS, "")
    return int(text) if text.isdecimal() else 0
