"""``micl config``: show settings with their values and sources, and the schemas of files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from micl_cli.cli.console import echo, echo_json, escape, note, table
from micl_cli.cli.context import current_settings, flagged_home
from micl_cli.cli.groups import DefaultGroup, LazyGroup, form_of, key_of, keys_of
from micl_cli.redaction import MASK, is_secret_name, redact, redact_url
from micl_cli.settings import LISTEN, Settings, config_paths

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class Value(NamedTuple):
    """A setting. ``name`` is like "store" or "learn.strategy"; ``source`` is a flag, variable, file or "default"."""

    name: str
    value: Any
    source: str


@click.group(cls=DefaultGroup)
def config() -> None:
    """Show settings and where they come from. The default command is list.

    \b
    Examples:
      micl config
      micl config --set
      micl config list learn
      micl config path
      micl config schema run > run.schema.json
    """


@config.command("list")
@click.argument("commands", nargs=-1, metavar="[COMMAND]...")
@click.option("--set", "only_set", is_flag=True, help="List only settings that are set, and not the defaults.")
@as_json
@click.pass_context
def list_(ctx: click.Context, commands: tuple[str, ...], only_set: bool, as_json: bool) -> None:
    """List settings with their values and sources, for the given COMMANDs or all.

    Precedence: flag > MICL_* > ./micl.toml > user config > default.

    \b
    Examples:
      micl config list --set
      micl config list learn
    """
    settings = current_settings()
    values = [*_general(settings), *_of_listeners(settings)] if not commands else []
    values += [
        value._replace(value=_public(value.name, value.value)) for value in _of_commands(ctx, settings, commands)
    ]
    if only_set:
        values = [value for value in values if value.source != "default"]
    if as_json:
        echo_json([{**value._asdict(), "value": _json_ready(value.value)} for value in values])
        return
    if only_set and not values:
        note("nothing is set: all settings have their defaults")
        return
    echo(table(["name", "value", "source"], [[value.name, _shown(value.value), value.source] for value in values]))


@config.command()
@click.argument("file", required=False, default="run", type=click.Choice(["run", "grid", "micl"]))
@click.pass_context
def schema(ctx: click.Context, file: str) -> None:
    """Print the JSON schema of a run file, of a grid for `micl sweep`, or of micl.toml.

    Editors complete and check a file whose first line names its schema. It has the options of all installed plugins.

    \b
    Examples:
      micl config schema run > run.schema.json
      sed -i '1i #:schema ./run.schema.json' run.toml
    """
    from micl_cli.cli.schema import schema_of
    from micl_cli.cli.status import quiet_libraries
    from micl_cli.registry import Registry

    group = ctx.find_root().command
    assert isinstance(group, LazyGroup)
    with quiet_libraries():
        echo_json(schema_of(file, group, Registry.discover()))


@config.command()
def path() -> None:
    """Print the paths of the configuration files, highest precedence first.

    \b
    Example: $EDITOR "$(micl config path | head -1)"
    """
    for file in reversed(config_paths(flagged_home(click.get_current_context()))):
        echo(escape(str(file)))


def _general(settings: Settings) -> Iterator[Value]:
    yield Value("home", str(settings.home), settings.sources["home"])
    yield Value("store", redact_url(settings.store_url), settings.sources["store"])
    yield Value("cache_limit", settings.cache_limit, settings.sources["cache_limit"])
    yield Value("judge_model", settings.judge_model or None, settings.sources["judge_model"])
    for file in settings.files:
        yield Value("file", str(file.path), "read")


def _of_listeners(settings: Settings) -> Iterator[Value]:
    for name in settings.listener_names:
        for option, (value, source) in settings.listener_options(name).items():
            yield Value(f"{LISTEN}.{name}.{option}", _public(option, value), source)


def _of_commands(ctx: click.Context, settings: Settings, commands: tuple[str, ...]) -> list[Value]:
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, LazyGroup)
    values: list[Value] = []
    for name in commands or group.lazy:
        # This also reads and checks the values in configuration files for the command.
        _, command, _ = group.resolve_command(root, [name])
        assert command is not None
        values += _of_command(settings, command, name, click.Context(command, parent=root, info_name=name))
    return values


def _of_command(settings: Settings, command: click.Command, path: str, ctx: click.Context) -> Iterator[Value]:
    """Yield the values of the parameters of a command and its subcommands."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.expose_value and parameter.name:
            yield _value(settings, parameter, path, ctx)
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        below = click.Context(inner, parent=ctx, info_name=name)
        yield from _of_command(settings, inner, f"{path} {name}", below)


def _value(settings: Settings, option: click.Option, path: str, ctx: click.Context) -> Value:
    """Return the value of an option if the command is called without flags."""
    value, source = option.consume_value(ctx, {})
    name = f"{path.replace(' ', '.')}.{key_of(option)}"
    if source is ParameterSource.ENVIRONMENT:
        return Value(name, value, str(option.envvar))
    if source is ParameterSource.DEFAULT_MAP:
        files = [
            file for key, (_, file) in settings.values(path, form_of(ctx.command)).items() if key in keys_of(option)
        ]
        return Value(name, value, files[-1])
    return Value(name, option.to_info_dict()["default"], "default")


def _public(name: str, value: Any) -> Any:
    """Return a value without secrets, since the output may be pasted into bug reports."""
    if isinstance(value, tuple) and len(value) == 2:  # an option and its value
        return value[0], _public(str(value[0]), value[1])
    if isinstance(value, list):
        return [_public(name, each) for each in value]
    if isinstance(value, dict):
        return {key: _public(str(key), each) for key, each in value.items()}
    if is_secret_name(name.rpartition(".")[2]) and value not in (None, ""):
        return MASK
    return redact(value) if isinstance(value, str) else value


def _json_ready(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, list, tuple, type(None))) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(" ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)
