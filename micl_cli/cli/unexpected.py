"""The error for words that a command does not take, such as tasks without ``--tasks``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import click

from micl_cli.errors import MiclError, UsageError, nearest

_NAME = re.compile(r"[^,\[]+(?:\[[^\]]*\])?")
"""A name in a comma-separated list, perhaps with options in brackets."""


def unexpected_words(ctx: click.Context, words: Sequence[str]) -> UsageError:
    """Return the error for ``words`` that the command of ``ctx`` does not take, with the options that were meant."""
    shown = " ".join(words)
    flags = {option.name: option.opts[0] for option in ctx.command.params if isinstance(option, click.Option)}
    strategies, tasks = _sorted(words) if "strategy" in flags else ([], list(words))
    given = [("strategy", ",".join(strategies)), ("tasks" if "tasks" in flags else "task", ",".join(tasks))]
    meant = [f"{flags[name]} {shlex.quote(value)}" for name, value in given if value and name in flags]
    if not meant or any(word.startswith("-") for word in words):
        return UsageError(f"unexpected argument {shown!r}", f"See `{ctx.command_path} --help`.")
    kinds = " and ".join(kind for kind, value in (("strategies", strategies), ("tasks", tasks)) if value)
    return UsageError(f"unexpected argument {shown!r}: {kinds} are named by options", f"Write: {' '.join(meant)}")


def unknown_command(ctx: click.Context, name: str, known: Sequence[str]) -> UsageError:
    """Return the error for a command that a group does not have."""
    listing = f"`{ctx.command_path} --help` lists the commands."
    shown = f"Show it: {ctx.command_path} show {shlex.quote(name)}" if "show" in known else listing
    return UsageError(f"no command {name!r}", nearest(name, known) or shown)


def _sorted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that are strategies, and the others, which are probably tasks."""
    from micl_cli.registry import Registry

    try:
        known = {part.name for part in Registry.discover().parts("strategies")}
    except MiclError:
        known = set()
    names = [name for word in words for name in _NAME.findall(word)]
    strategies = [name for name in names if name.partition("[")[0] in known]
    return strategies, [name for name in names if name not in strategies]
