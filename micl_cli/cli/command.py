"""Commands that say which values they ignore, and options that are joined or checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import click
from click.core import ParameterSource

from micl_cli.cli.console import warn
from micl_cli.cli.pairs import WORDS, split_pairs
from micl_cli.errors import UsageError
from micl_cli.io.characters import has_control

LONGEST_NAME = 255
_NARROWEST = 20


class HelpFormatter(click.HelpFormatter):
    """Writes help texts that fit into narrow terminals too, of which click's own would exceed the width."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.width = min(self.width, max(get_terminal_size().columns - 2, _NARROWEST))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a list of definitions, whose first column takes at most 30 columns, and a third of the width."""
        super().write_dl(list(rows), min(col_max, max(self.width // 3, 10)), col_spacing)


class Context(click.Context):
    """The context of a command, with help texts for narrow terminals."""

    formatter_class = HelpFormatter


class Command(click.Command):
    """A command that warns of an option which is given twice, since only its last value counts.

    Pairs may be given as NAME=VALUE. Words that it does not take are an error that names the options for them.
    """

    context_class = Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, after a check for repeated options and for words that the command does not take."""
        if ctx.resilient_parsing:
            ctx.meta[WORDS] = list(args)
        asks_help = bool({"-h", "--help"} & set(args))
        args = split_pairs(self, args, None if ctx.resilient_parsing or asks_help else ctx)
        rest, values = warn_of_repetition(self, ctx, args)
        if rest and not (ctx.allow_extra_args or asks_help):
            from micl_cli.cli.unexpected import unexpected_words

            raise unexpected_words(ctx, rest, values)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group of commands that warn of repeated options, as it does itself. Its ``ls`` is also ``list``."""

    command_class = Command
    context_class = Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, after a warning of options that are given twice."""
        warn_of_repetition(self, ctx, args)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` begin with. Raises UsageError, with a similar command, if there is none."""
        name = self.canonical(args[0])
        if not ctx.resilient_parsing and self.get_command(ctx, name) is None and not name.startswith("-"):
            from micl_cli.cli.unexpected import unknown_command

            raise unknown_command(ctx, name, self.list_commands(ctx))
        return super().resolve_command(ctx, [name, *args[1:]])

    def canonical(self, name: str) -> str:
        """Return the name of a command for one of its names: groups have either ``ls`` or ``list``."""
        other = {"ls": "list", "list": "ls"}.get(name, name)
        return other if other in self.commands and name not in self.commands else name


class JoinedOption(click.Option):
    """An option for a comma-separated list. If it is repeated, the lists are joined."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser collect all values."""
        parser.add_option(obj=self, opts=self.opts, dest=self.name, action="append", nargs=self.nargs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the joined values and their source."""
        value, source = super().consume_value(ctx, opts)
        return (",".join(value) if isinstance(value, list) else value), source


class ListsOption(click.Option):
    """An option for a comma-separated list, which may be repeated for further lists."""

    @staticmethod
    def from_file(value: Any) -> Any:
        """Return the lists of a TOML value. ``["a", "b"]`` is one list, ``[["a", "b"], ["b", "a"]]`` are two."""
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list):
            return value
        if all(isinstance(item, str) and "," not in item for item in value):
            return [",".join(value)]
        return [",".join(map(str, item)) if isinstance(item, list) else item for item in value]


def warn_of_repetition(
    command: click.Command, ctx: click.Context, args: Sequence[str]
) -> tuple[list[str], Mapping[str, Any]]:
    """Write a warning for each option that takes one value and is among ``args`` more than once.

    The last value counts, as everywhere on command lines, so that an alias with options can be overridden. Returns the
    words that the command does not take, together with that of an optional argument, which takes the first of them,
    and the values of parameters by name. Raises UsageError for an unknown option.
    """
    if ctx.resilient_parsing:
        return [], {}
    values, rest, order = _parsed(command, ctx, args)
    for option in dict.fromkeys(order):
        if isinstance(option, click.Option) and _takes_one_value(option) and order.count(option) > 1:
            _warn(option.opts[0], order.count(option))
    optional = [each.name for each in command.params if isinstance(each, click.Argument) and not each.required]
    taken = [word for name in optional if isinstance(word := values.get(name), str) and not _is_run_file(name, word)]
    return ([*taken, *rest] if rest else []), values


def _parsed(
    command: click.Command, ctx: click.Context, args: Sequence[str]
) -> tuple[Mapping[str, Any], list[str], list[click.Parameter]]:
    try:
        return command.make_parser(ctx).parse_args(args=list(args))
    except click.NoSuchOption as error:
        from micl_cli.cli.unknown_option import unknown_option

        raise unknown_option(ctx, error.option_name, args) from None


def _is_run_file(name: str | None, word: str) -> bool:
    return name == "file" and Path(word).exists()


def _warn(option: str, count: int) -> None:
    warn(f"{option} is given {count} times: only the last value counts")


def _takes_one_value(option: click.Option) -> bool:
    same_each_time = option.is_flag and not option.secondary_opts
    return not (option.multiple or option.count or same_each_time or isinstance(option, JoinedOption))


def unique_names(ctx: click.Context, parameter: click.Parameter, pairs: Iterable[tuple[str, str]]) -> Any:
    """Return the pairs of an option that takes a name and a value, the last of each name; warn of the others."""
    values = {normal_name(name): (name, value) for name, value in pairs}
    names = [normal_name(name) for name, _ in pairs]
    for name in values:
        if names.count(name) > 1:
            _warn(f"{parameter.opts[0]} {name}", names.count(name))
    return tuple(values.values())


def normal_name(name: str) -> str:
    """Return the name of an option with its position as a number: "3:alpha" for "03:alpha"."""
    position, colon, bare = name.partition(":")
    return f"{int(position)}:{bare}" if colon and position.isdecimal() else name


def run_name(ctx: click.Context, parameter: click.Parameter, name: str) -> str:
    """Return the name for a run. Raises UsageError if it could not be told from an id or from @last, or be shown."""
    given = name or ctx.get_parameter_source("name") is ParameterSource.COMMANDLINE
    if given and (problem := name_problem(name)):
        raise UsageError(f"a run cannot have the name {name!r}: {problem}", "Choose another --name.")
    return name


def name_problem(name: str) -> str:
    """Return why a run cannot have a name, or an empty text."""
    from micl_cli.plan import ID_LENGTH

    if not name.strip():
        return "it is empty"
    if name.startswith("@"):
        return "names that begin with @ have a meaning, such as @last"
    if len(name) == ID_LENGTH and set(name) <= set("0123456789abcdef"):
        return "it looks like the id of a run"
    if name != name.strip() or has_control(name):
        return "it has control characters, or spaces at its ends"
    return f"it is longer than {LONGEST_NAME} characters" if len(name) > LONGEST_NAME else ""
