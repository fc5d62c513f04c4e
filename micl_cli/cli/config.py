"""``micl config``: each setting, its value and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from micl_cli.cli.console import echo, echo_json, escape, table
from micl_cli.cli.groups import DefaultGroup, LazyGroup, key_of, keys_of
from micl_cli.settings import Settings, config_paths, load_settings

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class Value(NamedTuple):
    """A setting: ``name`` is "store" or "learn.strategy"; ``source`` a flag, a variable, a file or "default"."""

    name: str
    value: Any
    source: str


@click.group(cls=DefaultGroup)
def config() -> None:
    """Show each setting and where it comes from. Without a command: list.

    \b
    Examples:
      micl config
      micl config list learn
      micl config path
    """


@config.command("list")
@click.argument("commands", nargs=-1, metavar="[COMMAND]...")
@as_json
@click.pass_context
def list_(ctx: click.Context, commands: tuple[str, ...], as_json: bool) -> None:
    """List each value and its source; for COMMANDs only, where some are named.

    Precedence: flag > MICL_* > ./micl.toml > user config > default.

    \b
    Example: micl config list learn
    """
    found = list(_general(ctx, load_settings())) if not commands else []
    found += _of_commands(ctx, commands)
    if as_json:
        echo_json([{**value._asdict(), "value": _plain(value.value)} for value in found])
        return
    echo(table(["name", "value", "source"], [[value.name, _shown(value.value), value.source] for value in found]))


@config.command()
def path() -> None:
    """Print the configuration files that are looked for, the strongest first.

    \b
    Example: $EDITOR "$(micl config path | head -1)"
    """
    for file in reversed(config_paths()):
        echo(escape(str(file)))


def _general(ctx: click.Context, settings: Settings) -> Iterator[Value]:
    flagged = ctx.find_root().get_parameter_source("home") is ParameterSource.COMMANDLINE
    yield Value("home", str(settings.home), "flag --home" if flagged else settings.sources["home"])
    yield Value("store", _without_password(settings.store_url), settings.sources["store"])
    yield Value("cache_limit", settings.cache_limit, settings.sources["cache_limit"])
    for file in settings.files:
        yield Value("file", str(file.path), "read")


def _of_commands(ctx: click.Context, commands: tuple[str, ...]) -> list[Value]:
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, LazyGroup)
    settings = load_settings()
    found: list[Value] = []
    for name in commands or group.lazy:
        # Also reads and checks what the files set for the command.
        _, command, _ = group.resolve_command(root, [name])
        assert command is not None
        found += _of_command(settings, command, name, click.Context(command, parent=root, info_name=name))
    return found


def _of_command(settings: Settings, command: click.Command, path: str, ctx: click.Context) -> Iterator[Value]:
    """The values of a command's parameters, and of those of the commands below it."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.expose_value and parameter.name:
            yield _value(settings, parameter, path, ctx)
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        below = click.Context(inner, parent=ctx, info_name=name)
        yield from _of_command(settings, inner, f"{path} {name}", below)


def _value(settings: Settings, option: click.Option, path: str, ctx: click.Context) -> Value:
    """As click itself would find it, were the command called without flags."""
    value, source = option.consume_value(ctx, {})
    name = f"{path.replace(' ', '.')}.{key_of(option)}"
    if source is ParameterSource.ENVIRONMENT:
        return Value(name, value, str(option.envvar))
    if source is ParameterSource.DEFAULT_MAP:
        files = [file for key, (_, file) in settings.values(path).items() if key in keys_of(option)]
        return Value(name, value, files[-1])
    return Value(name, option.to_info_dict()["default"], "default")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, list, tuple, type(None))) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(" ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def _without_password(url: str) -> str:
    """A store's URL may hold a password, and what is shown ends up in bug reports."""
    from urllib.parse import urlsplit

    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url
