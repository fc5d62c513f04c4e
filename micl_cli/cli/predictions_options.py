"""Options for the number of stored answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from micl_cli.errors import UsageError

MAX_ANSWERS = 2000
"""The default of ``--predictions``, so that the store does not grow unexpectedly."""

_C = TypeVar("_C", bound=Callable[..., Any])


def parse_max_answers(ctx: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """Return the number in "2000", None for "all", or 0 for "none". Raises UsageError for anything else."""
    word = text.strip().lower()
    if word in ("all", "none"):
        return None if word == "all" else 0
    if not (word.isascii() and word.isdecimal()):
        raise UsageError(f"--predictions {text} is neither a number nor all or none", "Write --predictions 5000.")
    return int(word)


def predictions_options(command: _C) -> _C:
    """Add ``--predictions`` and ``--save-predictions`` to a command."""
    click.option("--save-predictions", is_flag=True, help="Same as --predictions all.")(command)
    return click.option(
        "--predictions",
        default=str(MAX_ANSWERS),
        metavar="N|all|none",
        callback=parse_max_answers,
        help="Store the answers of each score if there are at most N of them; see `micl predictions`.",
    )(command)


def max_answers(predictions: int | None, save_predictions: bool) -> int | None:
    """Return the maximum number of answers to store for one score, or None for no limit."""
    return None if save_predictions else predictions
