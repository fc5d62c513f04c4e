"""Click groups: one that imports a command when it is used, and one with a default command."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from micl_cli.cli.console import manner
from micl_cli.errors import MiclError, PluginError, UsageError, nearest
from micl_cli.registry import command_entry_points
from micl_cli.settings import Settings, load_settings

_SETTINGLESS = ("config", "completion")
"""Commands that must work where a configuration file is broken."""


class Lazy(NamedTuple):
    """A command that is not imported yet: "module:attribute", and its line in the help."""

    target: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used.

    Distributions add commands by the entry-point group ``micl.commands``; one that cannot be
    imported costs only itself. What configuration files set for a command becomes its defaults.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The built-in commands in the order of work, then those of other distributions by name."""
        return [*self.lazy, *sorted(command_entry_points().keys() - self.lazy.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none. Raises PluginError for a broken one."""
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name].target.partition(":")
            found: click.Command = getattr(import_module(module), attribute)
        elif point := command_entry_points().get(cmd_name):
            found = _extra(point)
        else:
            return None
        _equip(found, cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with, and give it the defaults of the files."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            if ctx.resilient_parsing:
                return None, None, args
            hint = nearest(name, self.list_commands(ctx)) or "`micl --help` lists the commands."
            raise UsageError(f"no command {name!r}", hint)
        if not ctx.resilient_parsing and name not in _SETTINGLESS and not _asks_help(args):
            settings = load_settings()
            settings.check({"": self.list_commands(ctx)})
            ctx.default_map = {name: defaults(settings, command, name, ctx)}
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help without importing one."""
        extra = sorted(command_entry_points().items())
        added = [(name, f"From {point.dist.metadata['Name']}." if point.dist else "") for name, point in extra]
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.lazy.items()])
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(added)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names without importing one."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self.lazy[name].help if name in self.lazy else None) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


class DefaultGroup(click.Group):
    """A group that means its first command where none is named: ``micl plugins`` is ``micl plugins list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name before ``args`` where they name none."""
        first = next(iter(self.commands))
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [first, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order they were added, the default one first."""
        return list(self.commands)


def defaults(settings: Settings, command: click.Command, path: str, ctx: click.Context) -> dict[str, Any]:
    """What configuration files set for a command and those below it, as click's ``default_map``.

    ``path`` is the command in words ("runs ls"). Keys are parameters or their long flags.
    Raises UsageError naming the file for an unknown key or a value of the wrong type.
    """
    below = command.commands if isinstance(command, click.Group) else {}
    parameters = _by_key(command)
    settings.check({path: [*parameters, *below]})
    found: dict[str, Any] = {}
    for key, (value, source) in settings.values(path).items():
        if key in parameters:
            found[parameters[key].name or key] = _checked(parameters[key], key, value, source, ctx)
    for name, inner in below.items():
        found[name] = defaults(settings, inner, f"{path} {name}", ctx)
    return found


def key_of(option: click.Option) -> str:
    """What files, variables and `micl config` call an option: its long flag, with underscores.

    One that is given several times goes by its parameter's name, which is a plural.
    """
    return option.name or "" if option.multiple else next(iter(_longs(option)), option.name or "")


def _longs(option: click.Option) -> list[str]:
    return [flag.removeprefix("--").replace("-", "_") for flag in option.opts if flag.startswith("--")]


def keys_of(option: click.Option) -> set[str]:
    """Every key that a file may use for an option."""
    return {option.name or "", *_longs(option)}


def _by_key(command: click.Command) -> dict[str, click.Option]:
    options = [option for option in command.params if isinstance(option, click.Option) and option.expose_value]
    return {key: option for option in options for key in keys_of(option)}


def _checked(option: click.Option, key: str, value: Any, source: str, ctx: click.Context) -> Any:
    several = option.multiple or option.nargs != 1
    if isinstance(value, list) and not several:
        value = ",".join(map(str, value))
    if isinstance(value, dict):
        value = list(value.items())
    if option.nargs == 2 and isinstance(value, list):
        value = [(name, str(inner)) for name, inner in value]
    try:
        option.type_cast_value(ctx, value)
    except click.UsageError as error:
        raise UsageError(f"{source}: {key} cannot be {value!r}: {error.message}", f"It is {option.opts[0]}.") from error
    return value


def _asks_help(args: list[str]) -> bool:
    return "--help" in args or "-h" in args


def _extra(point: Any) -> click.Command:
    distribution = point.dist.metadata["Name"] if point.dist else "an unknown distribution"
    way = f"Upgrade it (pip install -U {distribution}) or remove it (pip uninstall {distribution})."
    try:
        found = point.load()
    except MiclError:
        raise
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}"
        raise PluginError(f"command {point.name!r} of {distribution} cannot be loaded: {text}", way) from error
    if not isinstance(found, click.Command):
        raise PluginError(f"command {point.name!r} of {distribution} is no click command: {point.value}", way)
    return found


def _remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and parameter.name:
        setattr(manner, parameter.name, True)


def manner_options(hidden: bool = False) -> list[click.Option]:
    """The global flags. Every command takes them too, since that is where people type them."""
    common: dict[str, Any] = {
        "is_flag": True,
        "expose_value": False,
        "is_eager": True,
        "callback": _remember,
        "hidden": hidden,
        "show_envvar": True,
    }
    return [
        click.Option(["--debug"], help="Show the traceback of an error.", envvar="MICL_DEBUG", **common),
        click.Option(["-q", "--quiet"], help="Show results and errors only.", envvar="MICL_QUIET", **common),
        click.Option(["--no-color"], help="Use no colour, as NO_COLOR=1 does.", **common),
    ]


def _equip(command: click.Command, path: str) -> None:
    """Give a command the global flags, and each option a variable that its help names."""
    taken = {flag for parameter in command.params for flag in parameter.opts}
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value:
            option.show_envvar = True
            option.envvar = option.envvar or f"MICL_{path}_{key_of(option)}".replace("-", "_").replace(" ", "_").upper()
    command.params += [option for option in manner_options(hidden=True) if not taken & set(option.opts)]
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        _equip(inner, f"{path} {name}")
