"""The error for an option that a command does not have, but perhaps a strategy or the backbone does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import SequenceMatcher

import click

from micl_cli.cli.pairs import PairOption
from micl_cli.errors import MiclError, UsageError, nearest

_TYPING_ERROR = 0.8
"""The similarity from which on an unknown option is a known one with a typing error."""


def unknown_option(ctx: click.Context, name: str, args: Sequence[str]) -> UsageError:
    """Return the error for the option ``name`` among the arguments of a command, with one that was probably meant."""
    flags = [flag for each in ctx.command.params for flag in each.opts if flag.startswith("-")]
    if hint := _of_plugins(ctx.command, name, args, flags):
        return UsageError(f"no such option: {name}", hint)
    guess = nearest(name, flags) if name.startswith("--") else ""  # short ones resemble all others
    return UsageError(f"no such option: {name}", f"{guess} See `{ctx.command_path} --help`.".strip())


def _of_plugins(command: click.Command, name: str, args: Sequence[str], flags: Iterable[str]) -> str:
    """Return how to give an option of the named strategies, or else of any strategy or of the backbone."""
    pairs = {each.name: each.opts[0] for each in command.params if isinstance(each, PairOption)}
    if not {"options", "backbone_options"} <= pairs.keys():
        return ""
    option = name.lstrip("-").replace("-", "_")
    pair = f"{option}={_value_of(name, args)}"
    with suppress(MiclError):
        named = [each.partition("[")[0].strip() for each in _value_of("--strategy", args, "").split(",")]
        if option_owners(option, "strategies", named):
            return f"Write: {pairs['options']} {pair}"
        if _is_typing_error(name, flags):
            return ""
        if owners := option_owners(option, "strategies"):
            return f"It is an option of {_listed(owners)}: {pairs['options']} {pair}"
        backbone = _value_of("--backbone", args, _default(command, "backbone")).partition(":")[0]
        if option_owners(option, "backbones", [backbone]):
            return f"Write: {pairs['backbone_options']} {pair}"
    return ""


def option_owners(option: str, kind: str, names: Sequence[str] = ()) -> list[str]:
    """Return the plugins of a kind, among ``names`` if there are any, that have an option; broken ones are skipped."""
    from micl_cli.api.options import options_of
    from micl_cli.registry import Registry

    registry = Registry.discover()
    owners = []
    for part in registry.parts(kind):
        if part.state == "ok" and (not names or part.name in names):
            with suppress(MiclError):
                owners += [part.name] if option in options_of(registry.load(kind, part.name)) else []
    return owners


def _default(command: click.Command, name: str) -> str:
    return next((str(each.default) for each in command.params if each.name == name), "")


def _value_of(flag: str, args: Sequence[str], otherwise: str = "VALUE") -> str:
    """Return the value that follows a flag among the arguments."""
    for at, word in enumerate(args):
        given, equals, value = word.partition("=")
        if given == flag:
            following = next(iter(args[at + 1 :]), "--")
            return value if equals else otherwise if following.startswith("--") else following
    return otherwise


def _is_typing_error(name: str, flags: Iterable[str]) -> bool:
    return any(SequenceMatcher(None, name, flag).ratio() >= _TYPING_ERROR for flag in flags)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"the {'strategies' if len(names) > 1 else 'strategy'} {shown}{' and others' * (len(names) > 3)}"
