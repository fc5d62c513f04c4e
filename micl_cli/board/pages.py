"""The HTML pages of the board."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment

from micl_cli.board.rows import Board, Shown
from micl_cli.report.html.render import escaping_environment

COLUMNS = {
    "state": "state",
    "strategy": "strategy",
    "seed": "seed",
    "progress": "progress",
    "loss": "loss",
    "left": "time left",
    "scores": "latest scores",
    "mfn": "MFN",
    "bwt": "BWT",
    "started": "started (UTC)",
    "tags": "tags",
}
"""The columns of the table of runs, after that of the run itself, with their titles."""
NUMBERS = ("seed", "loss", "left", "mfn", "bwt")
"""The columns that are aligned to the right."""
CELL_COLUMNS = ("strategy", "order", "seed", "state")
"""The columns of the table of a sweep's cells."""


def board_page(board: Board, home: str) -> str:
    """Return the page that lists runs and sweeps, which are those of the home folder ``home``."""
    return _render("board.html", board=board, home=home)


def waiting_page(seconds: int) -> str:
    """Return the page that is shown while a report is built, and asks again after some seconds."""
    title = "The report is being built"
    return _render("message.html", title=title, text="It is shown as soon as it is ready.", seconds=seconds)


def error_page(title: str, text: str, *, asks_token: bool = False) -> str:
    """Return the page of an error, with a form for the token if it is missing."""
    return _render("message.html", title=title, text=text, asks_token=asks_token)


def report_address(*runs: str) -> str:
    """Return the address of the report of runs."""
    return f"/report?{urlencode([('run', run) for run in runs])}"


def asset(name: str) -> bytes:
    """Return a file that pages load."""
    return (resources.files(__package__) / "templates" / name).read_bytes()


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**{"seconds": 0, "asks_token": False, **values}).strip()


@cache
def _environment() -> Environment:
    environment = escaping_environment("micl_cli.board")
    environment.globals.update(
        columns=COLUMNS,
        numbers=NUMBERS,
        cell_columns=CELL_COLUMNS,
        report_address=report_address,
        empty_cells=dict.fromkeys((*COLUMNS, *CELL_COLUMNS), Shown("")),
    )
    return environment
