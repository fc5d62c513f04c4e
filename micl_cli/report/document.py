"""A report as headings, paragraphs and tables, before it takes the form of text, Markdown or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from micl_cli.api.events import UNSURE
from micl_cli.report.data import RunData, ScoreRow, StageCost, gap_to_oracle
from micl_cli.report.groups import PAIRED, Group, Mean, Order, groups_of, orders_of, paired_of
from micl_cli.report.matrix import FIGURES
from micl_cli.report.quantized import NONE, bits_of, quantized_of

MISSING = "-"
INTERVAL = ": mean [95 % interval by Student's t]"
MINI = (
    "mini/ names micl's own embedded tasks, small and generated from a seed. They are not the published datasets: "
    "compare their scores with each other only."
)


class Code(str):
    """A formula: text that a format may set in a typewriter's letters."""


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text. The first column and, where ``prose`` is set, the last are set left, all others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    prose: bool = False


Block = Heading | Paragraph | Table


def document(runs: Sequence[RunData]) -> list[Block]:
    """Return each run's scores, figures with formulas and costs, and for several runs a comparison."""
    if not runs:
        return [Paragraph("No runs to report.")]
    if len(runs) == 1:
        return [*_head(runs[0]), *_note(runs), *_results(runs[0])]
    return [*(block for run in runs for block in (*_head(run), *_results(run))), *_comparison(runs)]


def number(value: float | None) -> str:
    """Return a score with two decimals (never "-0.00"), or MISSING where there is no finite one."""
    return MISSING if value is None or not math.isfinite(value) else f"{round(value, 2) + 0.0:.2f}"


def size(count: int) -> str:
    """Return a number of bytes in the largest fitting decimal unit."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 999.95:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def labels(tasks: Sequence[str]) -> list[str]:
    """Return the tasks' names without their benchmarks, or in full where those would be ambiguous."""
    short = [task.rpartition("/")[2] for task in tasks]
    return short if len(set(short)) == len(tasks) else list(tasks)


def _head(run: RunData) -> list[Block]:
    title = f"Run {run.id}: {run.name}" if run.name and run.name != run.id else f"Run {run.id}"
    facts = f"Strategy {run.strategy}, backbone {run.backbone}, seed {run.seed}; {run.status}."
    if run.weights_bytes:
        bits = "" if bits_of(run) == NONE else f", quantised to {bits_of(run)}"
        facts += f" Frozen weights: {size(run.weights_bytes)}{bits}."
    return [Heading(title), Paragraph(facts), Paragraph(f"Tasks in order: {_task_list(run)}.")]


def _note(runs: Sequence[RunData]) -> list[Block]:
    return [Paragraph(MINI)] if any(task.startswith("mini/") for run in runs for task in run.tasks) else []


def _results(run: RunData) -> list[Block]:
    tables = (_extra(run), _costs(run), _other_metrics(run))
    return [_scores(run), _figures(run), *_kinds(run), *_routing(run), *(table for table in tables if table.rows)]


def _task_list(run: RunData) -> str:
    mains = {score.task: score for score in run.scores if run.in_matrix(score)}
    scored = {task: f" ({score.metric}, n={score.n})" for task, score in mains.items()}
    return ", ".join(f"{at} {task}{scored.get(task, '')}" for at, task in enumerate(run.tasks, 1))


def _scores(run: RunData) -> Block:
    rows = [(_row_label(run, at), row) for at, row in enumerate(run.r.rows(), 1)]
    rows.insert(0, ("before learning", [run.r[0, i] for i in run.r.tasks]))
    measured = [(label, *map(number, row)) for label, row in rows if any(value is not None for value in row)]
    if not measured:
        return Paragraph("No task has been scored yet.")
    split = "" if run.split == "test" else f" ({run.split} split)"
    title = f"R: score x100 on each task (column) after learning each task (row){split}"
    return Table(title, ("", *labels(run.tasks)), measured)


def _row_label(run: RunData, at: int) -> str:
    task = run.tasks[at - 1]
    together = next((len(stage.tasks) for stage in run.stages if task in stage.tasks), 1)
    return f"after {together} tasks together" if together > 1 else f"after {at} {labels(run.tasks)[at - 1]}"


def _figures(run: RunData) -> Table:
    shown = [(FIGURES[name], value) for name, value in run.metrics.items() if name != "fwt" or value is not None]
    rows = [(figure.title, number(value), Code(figure.formula)) for figure, value in shown]
    title = "Figures over T tasks (- where undefined or not measured)"
    return Table(title, ("figure", "value", "formula"), rows, prose=True)


def _kinds(run: RunData) -> list[Block]:
    """Superficial and essential forgetting side by side, a row a task, a pair of columns a step."""
    if not run.kinds:
        return []
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    steps = sorted({kind.after for kind in run.kinds})
    cells = {(kind.task, kind.after): kind for kind in run.kinds}
    rows = []
    for task in dict.fromkeys(kind.task for kind in run.kinds):
        found = [cells.get((task, step)) for step in steps]
        pairs = [(k.superficial, k.essential) if k else (None, None) for k in found]
        rows.append((names[task], *(f"{number(one)} / {number(other)}" for one, other in pairs)))
    title = "Superficial / essential forgetting, x100: gone from the answers but not from the choices / gone from both"
    return [Table(title, ("", *(f"after {step}" for step in steps)), rows)]


def _routing(run: RunData) -> list[Block]:
    found = run.routing
    if found is None:
        return []
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    rows = [(names.get(task, task), *(f"{row[other]}" for other in run.tasks)) for task, row in found.confusion.items()]
    title = f"Routing by {found.router} after the last task: examples of each task (row) sent to each expert (column)"
    facts = (
        f"Routing accuracy {number(found.accuracy)} %; unsure (margin below {UNSURE}) {number(found.unsure)} %; "
        f"{1000 * found.seconds_per_query:.2f} ms to route a query; passes of the language "
        f"model a query, routing included: {1 + found.passes}."
    )
    return [Table(title, ("", *labels(run.tasks)), rows), Paragraph(facts)]


def _extra(run: RunData) -> Table:
    return Table("Figures from plugins", ("figure", "value"), [(name, number(v)) for name, v in run.extra.items()])


def _costs(run: RunData) -> Table:
    columns = ("stage", "status", "steps", "examples", "seconds", "peak memory", "trainable", "stored")
    rows = [_cost(run, stage) for stage in run.stages]
    if len(rows) > 1:
        total = run.cost
        steps = sum(stage.steps for stage in run.stages)
        weights, stored = f"{total.trainable_parameters:,}", size(total.stored_bytes)
        rows.append(("run", "", f"{steps}", "", f"{total.seconds:.1f}", size(total.peak_bytes), weights, stored))
    return Table("Cost (run: sums of steps and seconds, highest peak and trainable, last stored)", columns, rows)


def _cost(run: RunData, stage: StageCost) -> tuple[str, ...]:
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    what = names.get(stage.tasks[0], stage.tasks[0]) if len(stage.tasks) == 1 else f"({len(stage.tasks)} tasks)"
    counts = (stage.status, f"{stage.steps}", f"{stage.examples}", f"{stage.seconds:.1f}")
    weights, stored = f"{stage.trainable_parameters:,}", size(stage.stored_bytes)
    return (f"{stage.position} {what}", *counts, size(stage.peak_bytes), weights, stored)


def _other_metrics(run: RunData) -> Table:
    """Scores that do not stand in R: other metrics, and the tasks' own on other splits."""
    others = [score for score in run.scores if not run.in_matrix(score)]
    stages = sorted({score.after for score in others})
    cells = {(_what(run, score), score.after): score.value for score in others}
    names = dict.fromkeys(name for name, _ in cells)
    rows = [(name, *(number(cells.get((name, after))) for after in stages)) for name in names]
    columns = ("", *(f"after {after}" if after else "before" for after in stages))
    return Table("Other metrics, x100, after each stage", columns, rows)


def _what(run: RunData, score: ScoreRow) -> str:
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    name = f"{names.get(score.task, score.task)} {score.metric}"
    return name if score.split == run.split else f"{name} ({score.split})"


def _comparison(runs: Sequence[RunData]) -> list[Block]:
    blocks: list[Block] = [Heading(f"Comparison of {len(runs)} runs"), *_note(runs)]
    if len({tuple(run.tasks) for run in runs}) > 1:
        blocks.append(Paragraph("The runs differ in their tasks or in the order: compare their means with care."))
    tables = (*_routers(runs), *_quantized(runs), *_means(runs), *_paired(runs))
    return [*blocks, _final_scores(runs), _all_figures(runs), *tables]


def _final_scores(runs: Sequence[RunData]) -> Table:
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    finals = [dict(zip(run.tasks, run.r.rows()[-1] if run.tasks else [], strict=True)) for run in runs]
    rows = [
        (label, f"{run.seed}", *(number(final.get(task)) for task in tasks), number(run.metrics["mfn"]))
        for label, run, final in zip(_run_labels(runs), runs, finals, strict=True)
    ]
    return Table("Final scores, x100", ("", "seed", *labels(tasks), "MFN"), rows)


def _all_figures(runs: Sequence[RunData]) -> Table:
    shown = [name for name in FIGURES if name != "fwt" or any(run.metrics[name] is not None for run in runs)]
    rows = [
        (label, *(number(run.metrics[name]) for name in shown), *_cost_of(run))
        for label, run in zip(_run_labels(runs), runs, strict=True)
    ]
    columns = ("", *map(_short_title, shown), "seconds", "peak memory", "stored", "passes a query")
    return Table("Figures and cost", columns, rows)


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
    title = "Routing: accuracy and unsure in per cent, ms a query, MFN below the oracle's of the same order and seed"
    return [Table(title, ("", "accuracy", "unsure", "ms", "gap to oracle"), rows)] if rows else []


def _quantized(runs: Sequence[RunData]) -> list[Block]:
    """What quantised runs saved and lost beside the same plans in full precision."""
    names = dict(zip((run.id for run in runs), _run_labels(runs), strict=True))
    rows = [
        (
            f"{names[each.run]} ({each.bits})",
            names[each.reference],
            _share(each.weights),
            _share(each.peak),
            number(each.gap),
        )
        for each in quantized_of(runs)
    ]
    columns = ("", "beside", "weights", "peak memory", "MFN lost")
    return [Table("Quantised runs beside the same plans in full precision", columns, rows)] if rows else []


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} times"


def _means(runs: Sequence[RunData]) -> list[Block]:
    """Means over seeds, where a strategy has more than one run."""
    groups = groups_of(runs)
    if all(group.n == 1 for group in groups):
        return []
    orders = orders_of(runs)
    shown = [name for name in FIGURES if any(name in group.means for group in groups)]
    rows = [
        (_group_label(group, orders), f"{group.n}", *(interval(group.means.get(name)) for name in shown))
        for group in groups
    ]
    table = Table(f"Means over seeds, x100{INTERVAL}", ("", "n", *map(_short_title, shown)), rows)
    return [*_strategies(groups), *_orders(orders), table]


def interval(mean: Mean | None) -> str:
    """Return "mean [low, high]", the mean alone where a single value has no interval, or MISSING."""
    if mean is None:
        return MISSING
    if mean.low is None:
        return number(mean.mean)
    return f"{number(mean.mean)} [{number(mean.low)}, {number(mean.high)}]"


def _group_label(group: Group, orders: Sequence[Order]) -> str:
    if len(orders) == 1:
        return group.label
    return f"{group.label}, {f'order {1 + orders.index(group.order)}' if group.order else 'all orders'}"


def _orders(orders: Sequence[Order]) -> list[Block]:
    if len(orders) == 1:
        return []
    tasks = [order.tasks for order in orders]
    lines = [(at, each, " (on other data)" if each in tasks[: at - 1] else "") for at, each in enumerate(tasks, 1)]
    return [Paragraph(f"Order {at}: {', '.join(each)}{note}.") for at, each, note in lines]


def _strategies(groups: Sequence[Group]) -> list[Block]:
    """What stands behind the labels of strategies that share a name."""
    ids: dict[str, list[str]] = {}
    for group in groups:
        if group.label != group.strategy and group.order is not None:
            ids.setdefault(group.label, []).extend(run.id for run in group.runs)
    return [
        Paragraph(f"{label}: {'run' if len(runs) == 1 else 'runs'} {', '.join(runs)}.") for label, runs in ids.items()
    ]


def _paired(runs: Sequence[RunData]) -> list[Block]:
    rows = [
        (f"{pair.first} minus {pair.second}", f"{pair.n}", *(interval(pair.means.get(name)) for name in PAIRED))
        for pair in paired_of(runs)
    ]
    title = f"Paired differences, first minus second strategy at the same order and seed, x100{INTERVAL}"
    return [Table(title, ("", "n", *map(_short_title, PAIRED)), rows)] if rows else []


def _short_title(name: str) -> str:
    return name.upper() if len(name) == 3 else name.replace("_", " ")


def _cost_of(run: RunData) -> tuple[str, ...]:
    if not run.stages:
        return (MISSING,) * 4
    passes = 1 + (run.routing.passes if run.routing else 0)
    return f"{run.cost.seconds:.1f}", size(run.cost.peak_bytes), size(run.cost.stored_bytes), f"{passes}"


def _run_labels(runs: Sequence[RunData]) -> list[str]:
    """Return each run's strategy and as much of its id as tells the runs apart."""
    ids = {run.id for run in runs}
    length = next((n for n in range(8, 64) if len({each[:n] for each in ids}) == len(ids)), None)
    return [f"{run.strategy} {run.id[:length]}" for run in runs]
