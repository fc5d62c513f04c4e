"""Means of raw figures over seeds, and paired differences of strategies. The unit is the seed.

Task orders are fixed conditions, not samples: figures are averaged over orders within a seed first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable
from micl_cli.report.matrix import FIGURES, mean_if_complete, minus
from micl_cli.report.methods import Order, Runs, method_of, order_of, split, strategy_labels, task_set
from micl_cli.report.statistics import Mean, mean_of

PAIRED = ("mfn", "bwt")
"""The figures of paired comparisons."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ only in seed and attempt, or also in task order if ``order`` is None.

    ``label`` distinguishes the strategy from others with the same name. ``n`` counts seeds. Several attempts at one
    pair of order and seed count once, as their mean, and so do the orders of a seed, because they are not independent
    samples; of several orders, only seeds with all of them count. ``means`` holds the figures that were measured in
    every run that counts.
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
    """The paired difference of two strategies, ``first`` minus ``second``, over ``n`` common seeds.

    Strategies are given by label. The difference of a seed is the mean over the orders that both have for it, which are
    the same for every seed that counts. ``means`` holds the figures of PAIRED that were measured in every such run.
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
        for method, members_of_method in split(runs, method_of).items()
        for same_tasks in split(members_of_method, task_set).values()
        for order, members in _by_order(same_tasks)
    ]


def paired_of(runs: Runs) -> list[Paired]:
    """Return a comparison of each pair of strategies with final scores for two or more common seeds.

    Strategies whose runs are not comparable (see :func:`micl_cli.report.differences.conditions`) are not paired.
    """
    names = strategy_labels(runs)
    scored = [run for run in runs if run.metrics["mfn"] is not None]
    methods = split(scored, method_of)
    pairs = []
    for first, second in combinations(methods, 2):
        seeds = _common_seeds(methods[first], methods[second])
        if len(seeds) > 1:
            values = {
                name: [mean_if_complete([minus(_value(a, name), _value(b, name)) for a, b in cells]) for cells in seeds]
                for name in PAIRED
            }
            pairs.append(Paired(first=names[first], second=names[second], n=len(seeds), means=_means(values)))
    return pairs


def _common_seeds(first: Runs, second: Runs) -> list[list[tuple[Runs, Runs]]]:
    """Return the comparable pairs of runs of each common seed, one for each order, for seeds with the most orders.

    Where seeds have different orders, the set of orders that most seeds have counts.
    """
    ours, theirs = split(first, _cell), split(second, _cell)
    by_orders: dict[frozenset[Order], list[list[tuple[Runs, Runs]]]] = {}
    common = [cell for cell in ours if cell in theirs and comparable(ours[cell][0], theirs[cell][0])]
    for seed in dict.fromkeys(cell[1] for cell in common):
        cells = [cell for cell in common if cell[1] == seed]
        key = frozenset(order for order, _ in cells)
        by_orders.setdefault(key, []).append([(ours[cell], theirs[cell]) for cell in cells])
    return max(by_orders.values(), key=len, default=[])


def _by_order(runs: Runs) -> Iterator[tuple[Order | None, Runs]]:
    orders = split(runs, order_of)
    yield from orders.items()
    if len(orders) > 1:
        yield None, runs


def _group(label: str, order: Order | None, runs: Runs) -> Group:
    orders = split(runs, order_of)
    by_seed = [split(members, order_of) for members in split(runs, lambda run: run.seed).values()]
    seeds = [list(cells.values()) for cells in by_seed if len(cells) == len(orders)]
    values = {name: [mean_if_complete([_value(cell, name) for cell in cells]) for cells in seeds] for name in FIGURES}
    return Group(strategy=runs[0].strategy, label=label, order=order, runs=runs, n=len(seeds), means=_means(values))


def _means(values: Mapping[str, Sequence[float | None]]) -> dict[str, Mean]:
    """Return the means of the figures without missing values."""
    measured = {name: [value for value in each if value is not None] for name, each in values.items()}
    return {name: mean_of(each) for name, each in measured.items() if each and len(each) == len(values[name])}


def _value(runs: Runs, name: str) -> float | None:
    """Return the mean of a figure over attempts, or None if it is missing in any of them."""
    return mean_if_complete([run.metrics[name] for run in runs])


def _cell(run: RunData) -> tuple[Order, int]:
    return order_of(run), run.seed
