"""Opening a store to watch it: nothing in it, nor its schema, is changed."""

from __future__ import annotations

from contextlib import ExitStack

from micl_cli.errors import StoreError
from micl_cli.store import schema
from micl_cli.store.connect import connect, parse_url, shown, store_file
from micl_cli.store.failures import reported
from micl_cli.store.reading import open_current
from micl_cli.store.store import Store


def open_unchanged(url: str) -> Store:
    """Open an existing store to read it, without an upgrade: of an SQLite store with an older schema, a copy is read.

    Raises StoreError if it cannot be opened, or if it is an outdated store on a server.
    """
    parsed = parse_url(url)
    file = store_file(parsed)
    with ExitStack() as resources:
        if file is not None:
            if not file.is_file():
                raise StoreError(f"there is no run store {file}")
            engine = open_current(parsed, file, resources)
        else:
            engine = connect(parsed)
            resources.callback(engine.dispose)
            with reported(shown(parsed)):
                schema.ensure(engine)  # which only checks the store of a server
        return Store(engine, shown(parsed), resources.pop_all())
