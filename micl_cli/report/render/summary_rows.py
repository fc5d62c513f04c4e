"""The rows of a summary in tidy CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary

Row = tuple[str | int | float, ...]


def summary_rows(summary: Summary) -> Iterator[Row]:
    """Yield the columns of a run, then group, stage, task, quantity, value, n and split, for each known value."""
    split = next((run.split for method in summary.methods for run in method.runs), "")
    for columns, group, quantity, value, n in _values(summary):
        if value is not None:
            yield (*columns, group, "", "", quantity, value, n, split)


def _values(summary: Summary) -> Iterator[tuple[Row, str, str, str | float | None, int | str]]:
    for method in summary.methods:
        strategy, backbone = (method.runs[0].strategy, method.runs[0].backbone) if method.runs else ("", "")
        columns = (method.label, "", strategy, backbone, "", "")
        for name, mean in method.means.items():
            for bound, value in mean.as_json().items():
                yield columns, "summary", f"{name}_{bound}", value, method.samples[name].n
        yield columns, "summary", "rank", method.rank, ""
        yield columns, "summary", "seconds", method.seconds, len(method.runs)
        yield columns, "summary", "peak_bytes", method.peak_bytes or None, len(method.runs)
    for each in summary.comparisons:
        columns = (f"{each.first} minus {each.second}", "", "", "", "", "")
        facts = {**each.difference.as_json(), "p": each.p, "p_adjusted": each.p_adjusted, "verdict": each.verdict}
        for name, fact in facts.items():
            yield columns, "comparison", f"{each.figure}_{name}", fact, each.n
    for noise in summary.noise:
        columns = (noise.label, "", "", "", "", "")
        for source, spreads in (("threads", noise.over_threads), ("seeds", noise.over_seeds)):
            for name, value in spreads.items():
                yield columns, "noise", f"{name}_over_{source}", value, noise.cells
