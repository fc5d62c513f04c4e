"""The options that say how many answers behind scores are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

MAX_ANSWERS = 2000
"""The default of ``--predictions``: larger sets of answers would fill the store unasked."""
_WORDS = {"all": None, "none": 0}

_C = TypeVar("_C", bound=Callable[..., Any])


class MaxAnswers(click.ParamType):
    """A number of answers, "all" or "none"."""

    name = "N|all|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value as text, which is checked. Fails if it is neither a number nor a word."""
        text = str(value).strip().lower()
        if text not in _WORDS and not text.isdecimal():
            self.fail(f"{value!r} is neither a number nor all or none", param, ctx)
        return text


def predictions_options(command: _C) -> _C:
    """Add ``--predictions`` and ``--save-predictions`` to a command; see :func:`max_answers`."""
    click.option("--save-predictions", is_flag=True, help="Same as --predictions all.")(command)
    return click.option(
        "--predictions",
        default=str(MAX_ANSWERS),
        type=MaxAnswers(),
        metavar=MaxAnswers.name,
        help="Store the answers behind a score if there are at most N of them; see `micl predictions`.",
    )(command)


def max_answers(predictions: str, save_predictions: bool) -> int | None:
    """Return the largest number of answers that is stored for one score, None for no limit."""
    return None if save_predictions else _WORDS[predictions] if predictions in _WORDS else int(predictions)
