"""Log messages on stderr: warnings always, and everything with ``--verbose``."""

from __future__ import annotations

import logging
import sys

import click

from micl_cli.io.characters import escape
from micl_cli.redaction import redact

_LOGGER = "micl_cli"
_EVENTS = "micl_cli.events"
"""The logger of a run's events, which are shown as progress."""


class ConsoleHandler(logging.Handler):
    """Writes messages to stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        text = escape(redact(record.getMessage()), keep="\n")
        if record.levelno < logging.WARNING:
            text = f"{record.name.removeprefix(f'{_LOGGER}.')}: {text}"
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)


_handler = ConsoleHandler(logging.WARNING)
_handler.addFilter(lambda record: not record.name.startswith(_EVENTS))


def show_messages(*, verbose: bool = False) -> None:
    """Show warnings on stderr from now on, or with ``verbose`` every message."""
    logger = logging.getLogger(_LOGGER)
    if _handler not in logger.handlers:
        logger.addHandler(_handler)
    _handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.setLevel(logging.DEBUG if verbose else logging.NOTSET)
