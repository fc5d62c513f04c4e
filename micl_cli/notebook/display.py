"""The display of a run in a notebook: R and the figures as a small HTML table."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from micl_cli.io.characters import escape as visible
from micl_cli.report.data import RunData
from micl_cli.report.matrix import FIGURES


def run_html(run: RunData) -> str:
    """Return a run as HTML, with all names escaped."""
    heads = "".join(f"<th>{_text(task)}</th>" for task in run.tasks)
    rows = "".join(
        _row(f"after {task}", (run.r[t, i] for i in run.r.tasks))
        for t, task in zip(run.r.tasks, run.tasks, strict=True)
    )
    name = f" <b>{_text(run.name)}</b>" if run.name else ""
    figures = ", ".join(
        f"<abbr title='{_text(FIGURES[name].title)}'>{name}</abbr> {_number(value)}"
        for name, value in run.metrics.items()
        if value is not None
    )
    plan = f"{_text(run.strategy)} on {_text(run.backbone)}, seed {run.seed}, {_text(run.status)}"
    table = f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div>run <code>{_text(run.id)}</code>{name}: {plan}{table}{figures}</div>"


def _row(head: str, values: Iterable[float | None]) -> str:
    return f"<tr><th>{_text(head)}</th>{''.join(f'<td>{_number(value)}</td>' for value in values)}</tr>"


def _text(text: str) -> str:
    return escape(visible(text))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
