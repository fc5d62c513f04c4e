"""Blocks (titles, tables, paragraphs) of the summary of several runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from micl_cli.report.blocks import MISSING, Block, Paragraph, Table, interval, labels, number, size
from micl_cli.report.noise import Noise
from micl_cli.report.summary import Method, Summary
from micl_cli.report.summary_figures import RAW, SummaryFigure, final_figure, relative_figure

INTERVALS = {
    "t": "95 % interval by Student's t",
    "bca": "95 % interval by BCa bootstrap",
    "hierarchical": "95 % interval by bootstrap of seeds and test examples",
}
SMALLEST_P = 0.001


def summary_blocks(summaries: Sequence[Summary]) -> list[Block]:
    """Return the tables and notes of summaries, each with its tasks if there are several."""
    blocks: list[Block] = []
    for summary in summaries:
        if len(summaries) > 1:
            blocks.append(Paragraph(f"Tasks: {', '.join(summary.tasks)}."))
        blocks += _blocks(summary)
    return blocks


def _blocks(summary: Summary) -> list[Block]:
    tables = [_headline(summary), *_tasks(summary), _comparisons(summary), _noise(summary), _raw(summary)]
    orders = [Paragraph(f"Order {at}: {', '.join(order.tasks)}.") for at, order in enumerate(summary.orders, 1)]
    shown = [table for table in tables if table.rows]
    explained = [*map(Paragraph, summary.legend), *(orders if len(orders) > 1 else [])]
    return [*shown[:1], *explained, *shown[1:], *map(Paragraph, summary.notes)]


def _headline(summary: Summary) -> Table:
    columns = [
        *_columns(summary, summary.headline),
        ("mean rank", lambda method: number(method.rank)),
        ("seconds", lambda method: MISSING if method.seconds is None else f"{method.seconds:.1f}"),
        ("peak memory", lambda method: size(method.peak_bytes) if method.peak_bytes else MISSING),
    ]
    ranked = any(method.rank is not None for method in summary.methods)
    shown = [column for column in columns if ranked or column[0] != "mean rank"]
    rows = [(method.label, f"{len(method.seeds)}", *(cell(method) for _, cell in shown)) for method in summary.methods]
    return Table(_headline_title(summary), ("", "seeds", *(title for title, _ in shown)), rows)


def _headline_title(summary: Summary) -> str:
    raw = [figure.title for figure in summary.headline if not figure.relative and _any(summary, figure)]
    reference = summary.reference
    what = [f"final, BWT and learning in per cent of the final scores of {reference}"] if reference else []
    what += [f"mean final scores of {' and '.join(raw)}, x100"] if raw else []
    averaged = f"means over seeds [{INTERVALS[summary.interval]}]"
    if len(summary.orders) > 1:
        averaged += f", averaged over {len(summary.orders)} task orders first"
    return f"Summary: {'; '.join([*what, averaged])}"


def _columns(summary: Summary, figures: Sequence[SummaryFigure]) -> list[tuple[str, Callable[[Method], str]]]:
    """Return the title and the cell function of each figure that any method has."""
    measured = [figure for figure in figures if figure.relative or _any(summary, figure)]
    return [(_title(figure), _cell(figure.name)) for figure in measured]


def _any(summary: Summary, figure: SummaryFigure) -> bool:
    return any(figure.name in method.means for method in summary.methods)


def _title(figure: SummaryFigure) -> str:
    return f"{figure.title}, %" if figure.relative else figure.title


def _cell(name: str) -> Callable[[Method], str]:
    return lambda method: interval(method.means.get(name))


def _tasks(summary: Summary) -> list[Table]:
    """Return a table of relative final scores by task, if there is a reference, and one of raw final scores."""
    tables = []
    if summary.reference:
        title = f"Final score of each task in per cent of that of {summary.reference}"
        tables.append(_by_task(summary, title, [relative_figure(task).name for task in summary.tasks]))
    return [*tables, _by_task(summary, "Final score of each task, x100", [final_figure(t).name for t in summary.tasks])]


def _by_task(summary: Summary, title: str, names: Sequence[str]) -> Table:
    rows = [(method.label, *(interval(method.means.get(name)) for name in names)) for method in summary.methods]
    return Table(title, ("", *labels(summary.tasks)), rows)


def _comparisons(summary: Summary) -> Table:
    titles = {figure.name: _title(figure) for figure in (*summary.headline, *RAW)}
    figures = {each.figure for each in summary.comparisons}
    rows = [
        (
            f"{each.first} minus {each.second}{f', {titles[each.figure]}' if len(figures) > 1 else ''}",
            f"{each.n}",
            interval(each.difference),
            _p(each.p),
            _p(each.p_adjusted),
            each.verdict,
        )
        for each in summary.comparisons
    ]
    what = titles[next(iter(figures))] if len(figures) == 1 else "final scores"
    title = f"Paired differences in {what} over common seeds [{INTERVALS[summary.interval]}]; p by paired t test"
    title += f", adjusted by Holm's method for {len(rows)} tests"
    if summary.margin is not None:
        title += f"; equivalent: the 90 % interval is within {summary.margin:g} points of 0, each row by itself"
    return Table(title, ("", "seeds", "difference", "p", "adjusted p", "shows"), rows, prose=True)


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"<{SMALLEST_P}" if value < SMALLEST_P else f"{value:.3f}"


def _noise(summary: Summary) -> Table:
    names = list(dict.fromkeys(name for noise in summary.noise for name in noise.over_threads))
    titles = {figure.name: _title(figure) for figure in (*summary.headline, *RAW)}
    rows = [row for noise in summary.noise for row in _noise_rows(noise, names)]
    title = "Numerical noise: standard deviation of runs of one plan over thread counts, and of runs over seeds"
    return Table(title, ("", *(titles[name] for name in names)), rows)


def _noise_rows(noise: Noise, names: Sequence[str]) -> list[tuple[str, ...]]:
    threads = " and ".join(map(str, noise.threads))
    rows: list[tuple[str, Mapping[str, float | None]]] = [
        (f"{noise.label}, {threads} threads", noise.over_threads),
        (f"{noise.label}, seeds", noise.over_seeds),
    ]
    return [(label, *(_spread(values[name]) for name in names)) for label, values in rows]


def _spread(value: float | None) -> str:
    return MISSING if value is None else f"±{number(value)}"


def _raw(summary: Summary) -> Table:
    columns = [(figure.title, _cell(figure.name)) for figure in RAW if _any(summary, figure)]
    rows = [(method.label, *(cell(method) for _, cell in columns)) for method in summary.methods if columns]
    title = "Raw figures over all tasks, x100" + (f": {summary.mixture}" if summary.mixture else "")
    return Table(title, ("", *(title for title, _ in columns)), rows)
