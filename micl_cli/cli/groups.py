"""Click groups: one that imports commands lazily, and one with a default command."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from micl_cli.cli.command import Group, ListsOption
from micl_cli.cli.console import output
from micl_cli.cli.context import current_settings
from micl_cli.cli.logs import show_messages
from micl_cli.errors import MiclError, PluginError, UsageError, nearest
from micl_cli.registry import command_entry_points
from micl_cli.settings import SECTIONS, Form, Settings

_log = logging.getLogger(__name__)
_WITHOUT_SETTINGS = ("config", "completion", "doctor")
"""Commands that must work even if a configuration file is invalid."""


class Lazy(NamedTuple):
    """A command that is imported on use: its target ("module:attribute") and help text."""

    target: str
    help: str


class LazyGroup(Group):
    """A group whose commands are imported on use.

    Distributions add commands through the entry point group ``micl.commands``. The values in configuration files for a
    command become its defaults.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in commands in order of use, followed by those of other distributions by name."""
        return [*self.lazy, *sorted(command_entry_points().keys() - self.lazy.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if it is unknown. Raises PluginError if it cannot be imported."""
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name].target.partition(":")
            command: click.Command = getattr(import_module(module), attribute)
        elif point := command_entry_points().get(cmd_name):
            command = _plugin_command(point)
        else:
            return None
        _add_global_options(command, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` begin with, with its defaults from the configuration files."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            if ctx.resilient_parsing:
                return None, None, args
            from micl_cli.cli.unexpected import unknown_command

            raise unknown_command(ctx, name, self.list_commands(ctx))
        if not ctx.resilient_parsing and name not in _WITHOUT_SETTINGS and not _asks_help(args):
            settings = current_settings(ctx)
            _log.info("home %s, configuration files: %s", settings.home, [str(file.path) for file in settings.files])
            settings.check({"": self.list_commands(ctx)})
            ctx.default_map = {name: defaults(settings, command, name, ctx)}
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in the help text, without importing them."""
        points = sorted(command_entry_points().items())
        of_plugins = [(name, f"From {point.dist.metadata['Name']}." if point.dist else "") for name, point in points]
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.lazy.items()])
        if of_plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(of_plugins)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names, without importing the commands."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self.lazy[name].help if name in self.lazy else None) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)


class DefaultGroup(Group):
    """A group whose first command is the default: ``micl plugins`` is ``micl plugins list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the name of the default command if ``args`` contain no command."""
        first = next(iter(self.commands))
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [first, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` begin with; words for the default command are an error that says so."""
        default = next(iter(self.commands.values()))
        takes_tasks = any(parameter.name == "tasks" for parameter in default.params)
        unknown = self.canonical(args[0]) not in self.commands and not args[0].startswith("-")
        if not ctx.resilient_parsing and unknown and takes_tasks and not nearest(args[0], self.commands):
            from micl_cli.cli.unexpected import unexpected_words

            raise unexpected_words(click.Context(default, parent=ctx.parent, info_name=ctx.info_name), args[:1])
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their definition, the default first."""
        return list(self.commands)


def defaults(settings: Settings, command: click.Command, path: str, ctx: click.Context) -> dict[str, Any]:
    """Return the values in configuration files for a command and its subcommands, as click's ``default_map``.

    ``path`` is the command's full name ("runs ls"). Keys of a file are parameter names or long flags. Raises
    UsageError, with the file, for an unknown key or a value of the wrong type.
    """
    below = command.commands if isinstance(command, click.Group) else {}
    parameters, form = by_key(command), form_of(command)
    settings.check({path: [*parameters, *below, *(SECTIONS if form else ())]})
    default_map: dict[str, Any] = {}
    for key, (value, source) in settings.values(path, form).items():
        if key in parameters:
            default_map[parameters[key].name or key] = checked(parameters[key], key, value, source, ctx)
        elif key not in below:
            raise UsageError(
                f"{source}: {key} cannot be set in [{path.replace(' ', '.')}]", f"micl {path} has no such option."
            )
    for name, inner in below.items():
        default_map[name] = defaults(settings, inner, f"{path} {name}", ctx)
    return default_map


def form_of(command: click.Command) -> Form | None:
    """Return the function that replaces tables of plan settings in the table of a command, if it makes plans."""
    if not any(parameter.name == "learning_rate" for parameter in command.params):
        return None
    from micl_cli.cli.plan_options import flat_settings

    return flat_settings


def key_of(option: click.Option) -> str:
    """Return the name of an option in files, variables and `micl config`: its long flag, with underscores.

    For an option that may be repeated, it is the name of the parameter, a plural.
    """
    return option.name or "" if option.multiple else next(iter(_long_flags(option)), option.name or "")


def _long_flags(option: click.Option) -> list[str]:
    return [flag.removeprefix("--").replace("-", "_") for flag in option.opts if flag.startswith("--")]


def keys_of(option: click.Option) -> set[str]:
    """Return all keys that a configuration file may use for an option."""
    return {option.name or "", *_long_flags(option)}


def by_key(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by every key that a file may use for them."""
    options = [option for option in command.params if isinstance(option, click.Option) and option.expose_value]
    return {key: option for option in options for key in keys_of(option)}


def checked(option: click.Option, key: str, value: Any, source: str, ctx: click.Context) -> Any:
    """Return a value of a TOML file in the form that click takes. Raises UsageError that names file and key."""
    shaped = _shaped(option, value)
    try:
        _check_type(option, shaped)
        option.type_cast_value(ctx, shaped)
    except click.UsageError as error:
        raise UsageError(
            f"{source}: {key} cannot be {value!r}: {error.message}", f"It sets {option.opts[0]}."
        ) from error
    return shaped


def _shaped(option: click.Option, value: Any) -> Any:
    """Return a TOML value as click takes it: lists as text if the option takes a text, tables as pairs."""
    if isinstance(option, ListsOption):
        return option.from_file(value)
    takes_list = option.multiple or option.nargs != 1
    if isinstance(value, list) and not takes_list and _expected(option)[2] == _TEXT:
        return ",".join(map(str, value))
    if isinstance(value, dict):
        value = list(value.items())
    if option.nargs == 2 and isinstance(value, list):
        return [(name, str(inner)) for name, inner in value]
    return [value] if option.multiple and isinstance(value, str) else value


_TEXT = "text"
_TYPES: Sequence[tuple[type[Any], tuple[type[Any], ...], str]] = (
    (click.types.BoolParamType, (bool, str), "true or false"),
    (click.types.IntParamType, (int, str), "a whole number"),
    (click.types.FloatParamType, (int, float, str), "a number"),
    (object, (int, str), _TEXT),
)
"""Types of options, the types of values in TOML that they take, and their description."""


def _expected(option: click.Option) -> tuple[type[Any], tuple[type[Any], ...], str]:
    return next(entry for entry in _TYPES if isinstance(option.type, entry[0]))


def _check_type(option: click.Option, value: Any) -> None:
    """Raise click.BadParameter for a TOML value that click would convert, such as 3.7 to the whole number 3."""
    if option.nargs != 1:
        return
    _, allowed, expected = _expected(option)
    for each in value if option.multiple and isinstance(value, list) else [value]:
        if not isinstance(each, allowed) or (isinstance(each, bool) and bool not in allowed):
            raise click.BadParameter(f"it must be {expected}")


def _asks_help(args: list[str]) -> bool:
    return "--help" in args or "-h" in args


def _plugin_command(point: Any) -> click.Command:
    distribution = point.dist.metadata["Name"] if point.dist else "an unknown distribution"
    hint = f"Upgrade it (pip install -U {distribution}) or remove it (pip uninstall {distribution})."
    try:
        command = point.load()
    except MiclError:
        raise
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}"
        raise PluginError(f"command {point.name!r} of {distribution} cannot be loaded: {text}", hint) from error
    if not isinstance(command, click.Command):
        raise PluginError(f"command {point.name!r} of {distribution} is not a click command: {point.value}", hint)
    return command


def _set_output_option(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and parameter.name:
        setattr(output, parameter.name, True)
        show_messages(verbose=output.verbose)


def output_flags(hidden: bool = False) -> list[click.Option]:
    """Return the global output flags, which are also accepted after a command."""
    common: dict[str, Any] = {
        "is_flag": True,
        "expose_value": False,
        "is_eager": True,
        "callback": _set_output_option,
        "hidden": hidden,
        "show_envvar": True,
    }
    return [
        click.Option(["--debug"], help="Show tracebacks of errors.", envvar="MICL_DEBUG", **common),
        click.Option(["-q", "--quiet"], help="Only show results and errors.", envvar="MICL_QUIET", **common),
        click.Option(["-v", "--verbose"], help="Also show what is loaded, read and written.", **common),
        click.Option(["--no-color"], help="Disable colour, as NO_COLOR=1 does.", **common),
    ]


def _add_global_options(command: click.Command, path: str) -> None:
    """Add the output flags to a command, and an environment variable, shown in the help, to each of its options."""
    taken = {flag for parameter in command.params for flag in parameter.opts}
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value:
            option.show_envvar = True
            option.envvar = option.envvar or f"MICL_{path}_{key_of(option)}".replace("-", "_").replace(" ", "_").upper()
    command.params += [option for option in output_flags(hidden=True) if not taken & set(option.opts)]
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        _add_global_options(inner, f"{path} {name}")
