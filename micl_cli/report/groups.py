"""Statistics over runs: means over seeds with confidence intervals, and paired comparisons of strategies."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from statistics import fmean, stdev
from typing import TypeVar

from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable, conditions
from micl_cli.report.matrix import FIGURES

CONFIDENCE = 0.95
PAIRED = ("mfn", "bwt")
"""The figures of paired comparisons."""

MAX_LABEL = 48
MAX_VALUE = 20

Runs = Sequence[RunData]
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Mean:
    """A mean x100 with its 95 % confidence interval by Student's t, which is None for a single value."""

    mean: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | None]:
        """Return JSON-ready fields."""
        return asdict(self)


@dataclass(frozen=True)
class Order:
    """The full names of tasks in order, and their data as pairs of name and sha256."""

    tasks: tuple[str, ...]
    data: frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ only in seed and attempt, or also in task order if ``order`` is None.

    ``label`` distinguishes the strategy from others with the same name. ``n`` counts pairs of order and seed: several
    attempts at one pair count once, as their mean, because they are not independent samples. ``means`` holds the
    figures that were measured in every run.
    """

    strategy: str
    label: str
    order: Order | None
    runs: Runs
    n: int
    means: Mapping[str, Mean]

    @property
    def seeds(self) -> list[int]:
        """The distinct seeds in order of appearance."""
        return list(dict.fromkeys(run.seed for run in self.runs))

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready fields, with the ids of the runs."""
        return {
            "strategy": self.strategy,
            "label": self.label,
            "order": None if self.order is None else list(self.order.tasks),
            "n": self.n,
            "seeds": self.seeds,
            "runs": [run.id for run in self.runs],
            **{name: mean.as_json() for name, mean in self.means.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The paired difference of two strategies, ``first`` minus ``second``, over ``n`` common pairs of order and seed.

    Strategies are given by label. ``means`` holds the figures of PAIRED that were measured in every such run.
    """

    first: str
    second: str
    n: int
    means: Mapping[str, Mean]

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready fields."""
        means = {name: mean.as_json() for name, mean in self.means.items()}
        return {"first": self.first, "second": self.second, "n": self.n, **means}


def groups_of(runs: Runs) -> list[Group]:
    """Return a group per strategy and order, and one over all orders if a strategy has several for the same tasks.

    Strategies and their orders are in order of appearance, followed by the group of all orders.
    """
    names = strategy_labels(runs)
    return [
        _group(names[method], order, members)
        for method, members_of_method in _split(runs, method_of).items()
        for same_tasks in _split(members_of_method, _task_set).values()
        for order, members in _by_order(same_tasks)
    ]


def paired_of(runs: Runs) -> list[Paired]:
    """Return a comparison of every two strategies with final scores for two or more common pairs of order and seed.

    Strategies whose runs are not comparable (see :func:`micl_cli.report.differences.conditions`) are not paired.
    """
    names = strategy_labels(runs)
    scored = [run for run in runs if run.metrics["mfn"] is not None]
    cells = {method: _split(members, _cell) for method, members in _split(scored, method_of).items()}
    pairs = []
    for first, second in combinations(cells, 2):
        both = ((cells[first][cell], cells[second][cell]) for cell in cells[first] if cell in cells[second])
        common = [(left, right) for left, right in both if comparable(left[0], right[0])]
        if len(common) > 1:
            values = {
                name: [_minus(_value(left, name), _value(right, name)) for left, right in common] for name in PAIRED
            }
            pairs.append(Paired(first=names[first], second=names[second], n=len(common), means=_means(values)))
    return pairs


def strategy_labels(runs: Runs) -> dict[Hashable, str]:
    """Return a label for each strategy: its name, with the settings in which strategies of the same name differ.

    If these labels would be too long, they are numbered instead. Keys are :func:`method_of` of a run.
    """
    labels: dict[Hashable, str] = {}
    for name, namesakes in _split(runs, lambda run: run.strategy).items():
        methods = [members[0] for members in _split(namesakes, method_of).values()]
        labels.update(zip(map(method_of, methods), _labels(name, methods), strict=True))
    return labels


def method_of(run: RunData) -> Hashable:
    """Return a key that is equal for runs that differ only in seed, attempt, name, tasks or task order.

    The version of micl and the number format belong to it.
    """
    return run.strategy, run.backbone, tuple(sorted(_settings(run).items()))


def _settings(run: RunData) -> dict[str, str]:
    """Return the settings of a run, with what else must be equal in runs that are averaged."""
    deciding = {name: value for name, value in conditions(run).items() if name.startswith("environment.")}
    return {**run.settings, **deciding}


def orders_of(runs: Runs) -> list[Order]:
    """Return the distinct task orders in order of appearance. Equal tasks with different data are distinct orders."""
    return list(_split(runs, _order))


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of one or more values, with the confidence interval from their sample standard deviation."""
    centre = fmean(values)
    if len(values) == 1:
        return Mean(centre, None, None)
    half = t_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Mean(centre, centre - half, centre + half)


@lru_cache
def t_quantile(p: float, df: int) -> float:
    """Return the ``p`` quantile of Student's t distribution with ``df`` degrees of freedom.

    ``p`` is in [0.5, 1) and ``df`` at least 1. The distribution function is a finite sum for integer
    degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), and is inverted by bisection.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _within(middle, df) < 2 * p - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _within(angle: float, df: int) -> float:
    """Return the probability that |t| is at most sqrt(df) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, df, 2):
        total += term
        term *= k / (k + 1) * cosine**2
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _by_order(runs: Runs) -> Iterator[tuple[Order | None, Runs]]:
    orders = _split(runs, _order)
    yield from orders.items()
    if len(orders) > 1:
        yield None, runs


def _group(label: str, order: Order | None, runs: Runs) -> Group:
    cells = _split(runs, _cell).values()
    means = _means({name: [_value(cell, name) for cell in cells] for name in FIGURES})
    return Group(strategy=runs[0].strategy, label=label, order=order, runs=runs, n=len(cells), means=means)


def _means(values: Mapping[str, Sequence[float | None]]) -> dict[str, Mean]:
    """Return the means of the figures without missing values."""
    measured = {name: [value for value in each if value is not None] for name, each in values.items()}
    return {name: mean_of(each) for name, each in measured.items() if each and len(each) == len(values[name])}


def _value(runs: Runs, name: str) -> float | None:
    """Return the mean of a figure over attempts, or None if it is missing in any of them."""
    values = [value for run in runs if (value := run.metrics[name]) is not None]
    return fmean(values) if len(values) == len(runs) else None


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _labels(name: str, methods: Runs) -> list[str]:
    """Return a label for the strategy of each run, all of which have the same ``name``."""
    if len(methods) == 1:
        return [name]
    settings = [{"backbone": run.backbone, **_settings(run)} for run in methods]
    keys = [key for key in dict.fromkeys(key for each in settings for key in each) if _differs(key, settings)]
    labels = [f"{name} ({', '.join(f'{key}={_short(each.get(key))}' for key in keys)})" for each in settings]
    usable = len(set(labels)) == len(labels) and max(map(len, labels)) <= MAX_LABEL
    return labels if usable else [f"{name} ({number})" for number in range(1, len(methods) + 1)]


def _differs(key: str, settings: Sequence[Mapping[str, str]]) -> bool:
    return len({each.get(key) for each in settings}) > 1


def _short(value: str | None) -> str:
    """Return a value for a label. Long values, such as digests, are truncated."""
    return "none" if value is None else value if len(value) <= MAX_VALUE else value[:8]


def _split(runs: Runs, key: Callable[[RunData], _Key]) -> dict[_Key, list[RunData]]:
    """Group runs by key, in order of appearance."""
    members: dict[_Key, list[RunData]] = {}
    for run in runs:
        members.setdefault(key(run), []).append(run)
    return members


def _task_set(run: RunData) -> Hashable:
    return frozenset(run.tasks), frozenset(run.data.items())


def _order(run: RunData) -> Order:
    return Order(tuple(run.tasks), frozenset(run.data.items()))


def _cell(run: RunData) -> Hashable:
    return _order(run), run.seed
