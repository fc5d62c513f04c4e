"""Selection of the runs of a summary: methods, the orders that they have in common, and their seeds."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from micl_cli.report.data import RunData
from micl_cli.report.methods import Order, Runs, method_labels, method_of, order_of, split
from micl_cli.report.options import ReportOptions
from micl_cli.report.reference import Reference, choose_reference, has_final_scores, is_reference

Cells = Sequence[Runs]
"""The runs of a method with one seed: the attempts at each order."""


@dataclass(frozen=True, kw_only=True)
class SelectedRuns:
    """Runs of one set of tasks. Those in ``complete`` have all final scores.

    ``orders`` are those that all methods except references have. If ``shared`` is False there are none, and each method
    is averaged over its own orders. ``settings`` are those in which a method differs from others of its strategy.
    ``seeds`` holds the cells of each method by seed, ``left_out`` the seeds of each
    that lack one of its orders.
    """

    runs: Runs
    complete: Runs
    labels: Mapping[Hashable, str]
    settings: Mapping[Hashable, Mapping[str, str]]
    reference: Reference | None
    orders: tuple[Order, ...]
    shared: bool
    seeds: Mapping[Hashable, Mapping[int, Cells]]
    left_out: Mapping[Hashable, Sequence[int]]

    def runs_of(self, method: Hashable) -> list[RunData]:
        """Return the selected runs of a method."""
        return [run for cells in self.seeds[method].values() for attempts in cells for run in attempts]


def select_runs(runs: Runs, options: ReportOptions) -> SelectedRuns:
    """Return the runs of one set of tasks that can be summarised together."""
    complete = [run for run in runs if has_final_scores(run)]
    methods = split(complete, method_of)
    labels = method_labels(runs)
    common = _common_orders(methods.values())
    seeds: dict[Hashable, dict[int, Cells]] = {}
    left_out: dict[Hashable, list[int]] = {}
    for method, members in methods.items():
        own = list(split(members, order_of))
        needed = own if not common or is_reference(members[0]) else [order for order in own if order in common]
        by_seed = {seed: split(each, order_of) for seed, each in split(members, lambda run: run.seed).items()}
        partly = [] if is_reference(members[0]) else [s for s, cells in by_seed.items() if set(needed) - set(cells)]
        left_out[method] = partly
        seeds[method] = {
            seed: [cells[order] for order in needed if order in cells]
            for seed, cells in by_seed.items()
            if seed not in partly
        }
    return SelectedRuns(
        runs=runs,
        complete=complete,
        labels={method: label.text for method, label in labels.items()},
        settings={method: label.settings for method, label in labels.items()},
        reference=choose_reference(complete, options.relative_to),
        orders=tuple(common or split(complete, order_of)),
        shared=bool(common),
        seeds=seeds,
        left_out=left_out,
    )


def _common_orders(methods: Iterable[Runs]) -> list[Order]:
    """Return the orders that all methods have; references only count if there are no other methods."""
    every = [split(runs, order_of) for runs in methods]
    compared = [orders for orders in every if not is_reference(next(iter(orders.values()))[0])] or every
    return [order for order in (compared[0] if compared else ()) if all(order in orders for orders in compared)]
