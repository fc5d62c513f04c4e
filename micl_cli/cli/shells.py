"""Completion in bash, which takes "=" and ":" for the ends of words: `alpha=0.3` comes as three words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

_SEPARATORS = frozenset("=:")


class WholeWords(BashComplete):
    """The protocol of bash with words joined again. Items are shortened by what bash does not replace."""

    name = "bash"
    _prefix = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete one, and the incomplete word."""
        words, last = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        shown = words[: last + 1] + [""] * (last + 1 - len(words))
        joined = _joined(shown)
        incomplete = joined[-1]
        self._prefix = incomplete if _separates(shown[-1]) else incomplete.removesuffix(shown[-1])
        return joined[1:-1], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return the line for an item: its type, and what bash puts in place of its last word."""
        return f"{item.type},{item.value.removeprefix(self._prefix)}"


def _joined(words: Sequence[str]) -> list[str]:
    """Return words with those at separators joined: "alpha", "=", "0.3" are "alpha=0.3"."""
    joined: list[str] = []
    open_end = False
    for word in words:
        if joined and (open_end or _separates(word)):
            joined[-1] += word
        else:
            joined.append(word)
        open_end = _separates(word)
    return joined


def _separates(word: str) -> bool:
    return bool(word) and set(word) <= _SEPARATORS


def register() -> None:
    """Use these classes from now on."""
    add_completion_class(WholeWords)
