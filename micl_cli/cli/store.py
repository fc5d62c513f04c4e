"""``micl store``: where the run store is, whether it is sound, and upgrading it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from micl_cli.cli.console import echo, echo_json, escape
from micl_cli.cli.context import current_settings
from micl_cli.errors import StoreError

if TYPE_CHECKING:
    from micl_cli.store import StoreCheck

_SOUND = ("ok", "missing")
_ADVICE = {
    "outdated": "Run `micl store upgrade`; an SQLite store is also upgraded when it is next used.",
    "newer": "Upgrade micl (pip install --upgrade micl-cli), or set MICL_HOME to another folder.",
    "damaged": "Put a backup in its place (they lie beside it), or set MICL_HOME to another folder.",
}


@click.group()
def store() -> None:
    """Look after the run store.

    The store is micl.db in MICL_HOME, or the database whose SQLAlchemy URL is in MICL_STORE.

    \b
    Example: micl store check
    """


@store.command()
def path() -> None:
    """Print the store's file, or a server's URL.

    The URL is printed without its password.

    \b
    Example: sqlite3 "$(micl store path)" "select task, value from scores"
    """
    from micl_cli.store import locate

    echo(escape(locate(_url())))


@store.command()
def upgrade() -> None:
    """Bring the store's schema to what this micl needs.

    An SQLite store is upgraded by itself when it is used; a server's is only upgraded here. A
    copy of an older SQLite store is kept beside it.

    \b
    Example: MICL_STORE=postgresql://me@host/micl micl store upgrade
    """
    from micl_cli.store import upgrade as apply

    applied = apply(_url())
    echo(f"applied {', '.join(applied)}" if applied else "nothing to do")


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(as_json: bool) -> None:
    """Check integrity and schema; count runs and tasks.

    Changes nothing. Leaves with code 1 where the store is outdated, newer than this micl, or damaged.

    \b
    Example: micl store check --json
    """
    from micl_cli.store import check as look

    found = look(_url())
    if as_json:
        echo_json(asdict(found))
    else:
        echo("\n".join(map(escape, _lines(found))))
    if found.state not in _SOUND:
        raise StoreError(f"the run store {found.location} is {found.state}", _ADVICE[found.state])


def _url() -> str:
    return current_settings().store_url


def _lines(found: StoreCheck) -> list[str]:
    schema = found.revision or "none"
    if found.revision != found.expected:
        schema += f" (this micl: {found.expected})"
    lines = [
        f"store   {found.location}",
        f"state   {found.state}",
        f"schema  {schema}",
        f"runs    {found.runs}",
        f"tasks   {found.tasks}",
    ]
    return [*lines, *(f"problem {line}" for line in found.problems)]
