"""``micl store``: locate, check and upgrade the run store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from micl_cli.cli.command import Group
from micl_cli.cli.console import echo, echo_json, escape
from micl_cli.cli.context import current_settings
from micl_cli.errors import StoreError

if TYPE_CHECKING:
    from micl_cli.records import StoreCheck

_USABLE = ("ok", "missing")
_ADVICE = {
    "outdated": "Run `micl store upgrade`; an SQLite store is also upgraded on its next use.",
    "newer": "Upgrade micl (pip install --upgrade micl-cli), or set MICL_HOME to another folder.",
    "damaged": "Replace it by a backup from the same folder, or set MICL_HOME to another folder.",
}


@click.group(cls=Group)
def store() -> None:
    """Locate, check and upgrade the run store.

    The store is micl.db in MICL_HOME, or the database whose SQLAlchemy URL is in MICL_STORE.

    \b
    Example: micl store check
    """


@store.command()
def path() -> None:
    """Print the file of the store, or the URL of a server store without its password.

    \b
    Example: sqlite3 "$(micl store path)" "select task, value from scores"
    """
    from micl_cli.store import locate

    echo(escape(locate(_url())))


@store.command()
def upgrade() -> None:
    """Upgrade the schema of the store to that of this version of micl.

    An SQLite store is also upgraded automatically on its next use, a server store only by this
    command. An SQLite file is first copied to a backup in the same folder.

    \b
    Example: MICL_STORE=postgresql://me@host/micl micl store upgrade
    """
    from micl_cli.store import upgrade as apply

    applied = apply(_url())
    echo(f"applied {', '.join(applied)}" if applied else "nothing to do")


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(as_json: bool) -> None:
    """Check integrity and schema, and count runs and tasks, without changing anything.

    Exits with code 1 if the store is outdated, newer than this version of micl, or damaged.

    \b
    Example: micl store check --json
    """
    from micl_cli.store import check as check_store

    result = check_store(_url())
    if as_json:
        echo_json(asdict(result))
    else:
        echo("\n".join(map(escape, _lines(result))))
    if result.state not in _USABLE:
        raise StoreError(f"the run store {result.location} is {result.state}", _ADVICE[result.state])


def _url() -> str:
    return current_settings().store_url


def _lines(result: StoreCheck) -> list[str]:
    schema = result.revision or "none"
    if result.revision != result.expected:
        schema += f" (this version of micl: {result.expected})"
    lines = [
        f"store   {result.location}",
        f"state   {result.state}",
        f"schema  {schema}",
        f"runs    {result.runs}",
        f"tasks   {result.tasks}",
    ]
    return [*lines, *(f"problem {line}" for line in result.problems)]
