"""Reports as tidy CSV: one row per value."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from micl_cli.report.data import RunData, time_columns
from micl_cli.report.differences import differences_of
from micl_cli.report.groups import Group, Paired, groups_of, paired_of
from micl_cli.report.render.summary_rows import summary_rows
from micl_cli.report.render.visible import visible

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary

RUN_COLUMNS = ("run", "name", "strategy", "backbone", "seed", "status")
VALUE_COLUMNS = ("group", "stage", "task", "quantity", "value", "n", "split")

Cell = str | int | float
RunCells = tuple[Cell, Cell, Cell, Cell, Cell, Cell]
Value = tuple[Cell, Cell, str, str, float | None, Cell, str]


def write(runs: Sequence[RunData], summaries: Sequence[Summary] = (), *, summary_only: bool = False) -> str:
    """Return a header and one row for each finite value.

    ``group`` is "matrix" (``stage`` is the row of R; 0: before learning), "score" (other metrics and splits, and the
    numbers of cut and missing answers), "subscore" (figures of a metric, such as those of categories), "outside" (the
    change of tasks outside the sequence), "rule" (``value`` is the version or variant by which the latest score was
    made), "figure", "cost" (without ``stage``: the whole run), "forgetting", "validation", "routing" or
    "extra".
    Several runs begin with rows of "summary" (``run`` is the method, ``quantity`` a figure of the summary with its mean
    and bounds, ``n`` the number of seeds), "comparison" (``run`` is one method minus another) and "noise" (standard
    deviations); with ``summary_only``, there are no others. Several runs end with rows of "difference" or
    "not comparable" (``quantity`` is what the runs differ in, ``value`` that of a run), of "mean" (raw figures over
    seeds; ``run`` is the strategy, ``task`` the order or empty for all orders, ``n`` the number of seeds) and "paired"
    (``run`` is one strategy minus another). Text that a spreadsheet would evaluate as a formula is prefixed with an
    apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*RUN_COLUMNS, *VALUE_COLUMNS))
    writer.writerows(map(safe_cell, row) for each in summaries for row in summary_rows(each))
    if summary_only:
        return text.getvalue().rstrip("\n")
    for run in runs:
        columns = (run.id, run.name, run.strategy, run.backbone, run.seed, run.status)
        writer.writerows(map(safe_cell, (*columns, *value)) for value in _values(run) if _is_finite(value[4]))
        writer.writerows(map(safe_cell, (*columns, *value)) for value in _rules(run))
    if len(runs) > 1:
        writer.writerows(map(safe_cell, row) for row in _differences(runs))
        means = _comparison(runs)
        writer.writerows(map(safe_cell, (*columns, *value)) for columns, value in means if _is_finite(value[4]))
    return text.getvalue().rstrip("\n")


def _differences(runs: Sequence[RunData]) -> Iterator[tuple[Cell, ...]]:
    columns = {run.id: (run.id, run.name, run.strategy, run.backbone, run.seed, run.status) for run in runs}
    for each in differences_of(runs):
        group = "difference" if each.comparable else "not comparable"
        yield from (
            (*columns[run], group, "", "", each.name, value, "", "") for value, ids in each.runs.items() for run in ids
        )


def _comparison(runs: Sequence[RunData]) -> Iterator[tuple[RunCells, Value]]:
    split = runs[0].split
    for group in groups_of(runs):
        columns = (group.label, "", group.strategy, group.runs[0].backbone, "", "")
        order = "+".join(group.order.tasks) if group.order else ""
        yield from ((columns, value) for value in _means("mean", order, group, split))
    for pair in paired_of(runs):
        columns = (f"{pair.first} minus {pair.second}", "", "", "", "", "")
        yield from ((columns, value) for value in _means("paired", "", pair, split))


def _means(group: str, order: str, source: Group | Paired, split: str) -> Iterator[Value]:
    for name, mean in source.means.items():
        for bound, value in mean.as_json().items():
            yield group, "", order, f"{name}_{bound}", value, source.n, split


def safe_cell(cell: Cell | None) -> Cell | None:
    """Escape a cell: no spreadsheet evaluates it as a formula, and it has no control characters."""
    if not isinstance(cell, str):
        return cell
    text = visible(cell)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text


def _rules(run: RunData) -> Iterator[tuple[Cell, ...]]:
    """Yield the metric version and the variants of each task's latest score, where they are known."""
    for task, score in run.latest.items():
        rule = {"version": score.version or "", "prompts": score.prompts, "scorer": score.scorer}
        yield from (
            ("rule", score.after, task, name, value, score.n, score.split) for name, value in rule.items() if value
        )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _values(run: RunData) -> Iterator[Value]:
    costs = (*time_columns(run.stages).values(), "peak_bytes", "trainable_parameters", "stored_bytes")
    yield from _scores(run)
    yield from (("figure", "", "", name, value, "", "") for name, value in run.metrics.items())
    for stage in run.stages:
        for name in ("steps", "examples", *costs):
            yield "cost", stage.position, "+".join(stage.tasks), name, getattr(stage, name), "", ""
    if run.stages:
        yield from (("cost", "", "", name, getattr(run.cost, name), "", "") for name in costs)
    for entry in run.forgetting_types:
        for name, value in (("superficial_forgetting", entry.superficial), ("essential_forgetting", entry.essential)):
            yield "forgetting", entry.after, entry.task, name, value, "", run.split
    for each in run.validations:
        quantity = f"{each.criterion} at step {each.step}{' (final)' if each.final else ''}"
        yield "validation", each.position, "", quantity, each.value, "", "val"
    if routing := run.routing:
        for name in ("accuracy", "unsure", "seconds_per_query", "passes", "base"):
            yield "routing", len(run.tasks), "", name, getattr(routing, name), "", run.split
    yield from (("extra", "", "", name, value, "", "") for name, value in run.extra.items())


def _scores(run: RunData) -> Iterator[Value]:
    mains = {score.task: score for score in run.scores if run.in_matrix(score)}
    for after, row in enumerate([[run.r[0, i] for i in run.r.tasks], *run.r.rows()]):
        for task, value in zip(run.tasks, row, strict=True):
            main = mains.get(task)
            yield "matrix", after, task, main.metric if main else "score", value, main.n if main else "", run.split
    for score in run.scores:
        if not run.in_matrix(score):
            yield "score", score.after, score.task, score.metric, score.value, score.n, score.split
        elif score.cut is not None:
            yield "score", score.after, score.task, "cut_answers", score.cut, score.n, score.split
        if score.main and score.missing:
            yield "score", score.after, score.task, "missing_answers", score.missing, score.n, score.split
        for name, value in score.figures.items():
            yield "subscore", score.after, score.task, f"{score.metric}: {name}", value, "", score.split
    for each in run.outside:
        yield "outside", "", each.task, f"change of {each.rule}", each.change, each.n, run.split
