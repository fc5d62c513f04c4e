"""The comparison of several runs: scores, figures and costs, routing, quantisation, means of raw figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from micl_cli.report.blocks import MISSING, PASSES, Block, Paragraph, Table, interval, labels, number, size
from micl_cli.report.code import code_marks, code_notes, marks_of
from micl_cli.report.data import RunData, time_columns
from micl_cli.report.differences import Difference, comparable, differences_of
from micl_cli.report.groups import Group, groups_of
from micl_cli.report.matrix import FIGURES
from micl_cli.report.methods import Order, legend, orders_of
from micl_cli.report.quantized import quantized_of
from micl_cli.report.scales import marked

MAX_NAMED = 2
"""The number of runs that are named for a value in which runs differ; more are counted."""


def comparison(runs: Sequence[RunData]) -> list[Block]:
    """Return the tables that compare two or more runs."""
    blocks: list[Block] = []
    if len({tuple(run.tasks) for run in runs}) > 1:
        blocks.append(Paragraph("The runs differ in their tasks or task order: compare their means with care."))
    blocks += [*_differences(runs), *map(Paragraph, code_notes(runs))]
    tables = (*_routers(runs), *_quantized(runs), *_means(runs))
    return [*blocks, _final_scores(runs), _all_figures(runs), *tables]


def _differences(runs: Sequence[RunData]) -> list[Block]:
    """Return what the runs differ in, and which of it keeps them from being compared."""
    names = dict(zip((run.id for run in runs), _run_labels(runs), strict=True))
    rows = [(each.name, _comparable(each), _values(each, names)) for each in differences_of(runs)]
    title = "What the runs differ in besides strategy and seed; what is not comparable is neither paired nor averaged"
    return [Table(title, ("", "comparable", "values"), rows, prose=True)] if rows else []


def _comparable(difference: Difference) -> str:
    if difference.name == "environment.code":
        return "marked"
    return "yes" if difference.comparable else "no"


def _values(difference: Difference, names: Mapping[str, str]) -> str:
    each = [
        f"{value or 'none'} ({', '.join(names[run] for run in ids) if len(ids) <= MAX_NAMED else f'{len(ids)} runs'})"
        for value, ids in difference.runs.items()
    ]
    return "; ".join(each)


def _final_scores(runs: Sequence[RunData]) -> Table:
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    finals = [dict(zip(run.tasks, run.r.rows()[-1] if run.tasks else [], strict=True)) for run in runs]
    rows = [
        (label, f"{run.seed}", *(number(final.get(task)) for task in tasks), number(run.metrics["mfn"]))
        for label, run, final in zip(_run_labels(runs), runs, finals, strict=True)
    ]
    return Table(marked("Final scores, x100 (MFN: their mean)", runs), ("", "seed", *labels(tasks), "MFN"), rows)


def _all_figures(runs: Sequence[RunData]) -> Table:
    shown = [name for name in FIGURES if name != "fwt" or any(run.metrics[name] is not None for run in runs)]
    times = time_columns(run.cost for run in runs)
    rows = [
        (label, *(number(run.metrics[name]) for name in shown), *_cost(run, list(times.values())))
        for label, run in zip(_run_labels(runs), runs, strict=True)
    ]
    columns = ("", *map(_short_title, shown), *times, "peak memory", "stored", "passes per query")
    return Table(marked("Figures over all tasks, and cost" + (PASSES if len(times) > 1 else ""), runs), columns, rows)


def _routers(runs: Sequence[RunData]) -> list[Block]:
    rows = [
        (
            f"{label} ({run.routing.router})",
            number(run.routing.accuracy),
            number(run.routing.unsure),
            f"{1000 * run.routing.seconds_per_query:.2f}",
            number(gap_to_oracle(run, runs)),
        )
        for label, run in zip(_run_labels(runs), runs, strict=True)
        if run.routing
    ]
    title = "Routing: accuracy and unsure in per cent, ms per query, MFN below the oracle's of the same order and seed"
    return [Table(marked(title, runs), ("", "accuracy", "unsure", "ms", "gap to oracle"), rows)] if rows else []


def gap_to_oracle(run: RunData, runs: Sequence[RunData]) -> float | None:
    """Return the MFN of the oracle router among ``runs`` minus that of ``run``.

    The oracle's run must be comparable and have the same tasks in the same order, and seed. Return None if there is
    none.
    """
    for other in runs:
        oracle = other.routing and other.routing.router == "oracle"
        same = (other.tasks, other.seed) == (run.tasks, run.seed) and comparable(run, other)
        best, own = other.metrics["mfn"], run.metrics["mfn"]
        if oracle and same and best is not None and own is not None:
            return best - own
    return None


def _quantized(runs: Sequence[RunData]) -> list[Block]:
    """Return memory and scores of quantised runs relative to the same plans in full precision."""
    names = dict(zip((run.id for run in runs), _run_labels(runs), strict=True))
    rows = [
        (
            f"{names[each.run]} ({each.bits})",
            names[each.reference],
            _ratio(each.weights),
            _ratio(each.peak),
            number(each.gap),
        )
        for each in quantized_of(runs)
    ]
    columns = ("", "reference", "weights", "peak memory", "MFN lost")
    title = "Quantised runs relative to the same plans in full precision"
    return [Table(marked(title, runs), columns, rows)] if rows else []


def _ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} times"


def _means(runs: Sequence[RunData]) -> list[Block]:
    """Return means over seeds if a strategy has more than one run."""
    groups = groups_of(runs)
    if all(group.n == 1 for group in groups):
        return []
    orders, marks = orders_of(runs), code_marks(runs)
    shown = [name for name in FIGURES if any(name in group.means for group in groups)]
    rows = [
        (
            f"{_group_label(group, orders)}{marks_of(group.runs, marks)}",
            f"{group.n}",
            *(interval(group.means.get(name)) for name in shown),
        )
        for group in groups
    ]
    title = "Raw figures, x100: mean over seeds [95 % interval by Student's t]"
    table = Table(marked(title, runs), ("", "seeds", *map(_short_title, shown)), rows)
    return [*map(Paragraph, legend(runs)), *_orders(orders), table]


def _group_label(group: Group, orders: Sequence[Order]) -> str:
    if len(orders) == 1:
        return group.label
    return f"{group.label}, {f'order {1 + orders.index(group.order)}' if group.order else 'all orders'}"


def _orders(orders: Sequence[Order]) -> list[Block]:
    if len(orders) == 1:
        return []
    tasks = [order.tasks for order in orders]
    lines = [(n, each, " (on other data)" if each in tasks[: n - 1] else "") for n, each in enumerate(tasks, 1)]
    return [Paragraph(f"Order {n}: {', '.join(each)}{note}.") for n, each, note in lines]


def _short_title(name: str) -> str:
    return name.upper() if len(name) == 3 else name.replace("_", " ")


def _cost(run: RunData, times: Sequence[str]) -> tuple[str, ...]:
    if not run.stages:
        return (MISSING,) * (len(times) + 3)
    passes = 1 + (run.routing.passes if run.routing else 0)
    seconds = [f"{getattr(run.cost, name):.1f}" for name in times]
    return (*seconds, size(run.cost.peak_bytes), size(run.cost.stored_bytes), f"{passes}")


def _run_labels(runs: Sequence[RunData]) -> list[str]:
    """Return the strategy of each run with the shortest prefix of its id, of at least 8 characters, that is unique.

    Runs of different code are marked.
    """
    ids = {run.id for run in runs}
    length = next((n for n in range(8, 64) if len({each[:n] for each in ids}) == len(ids)), None)
    marks = code_marks(runs)
    return [f"{run.strategy} {run.id[:length]}{marks_of([run], marks)}" for run in runs]
