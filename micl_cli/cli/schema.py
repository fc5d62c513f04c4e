"""JSON schemas of run files and ``micl.toml``, from the options of commands and plugins, for completion in editors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from micl_cli.api.options import Option, Range, options_of
from micl_cli.cli.command import JoinedOption, ListsOption
from micl_cli.cli.groups import LazyGroup, form_of, key_of, keys_of
from micl_cli.cli.plan_options import OptionalRange
from micl_cli.cli.run_file import BACKBONE_OPTIONS, CITED, NOT_IN_FILES, OPTIONS
from micl_cli.errors import PluginError
from micl_cli.plan import Evaluation, Training, declared_settings
from micl_cli.registry import Registry
from micl_cli.settings import LISTEN, SECTIONS, TRUST

Schema = dict[str, Any]

FILES: Mapping[str, tuple[str, str]] = {
    "run": ("learn", "A run file of micl: the options of `micl learn`, which takes it as `micl learn run.toml`."),
    "grid": ("sweep", "A run file of micl: the options of `micl sweep`, which takes it as `micl sweep grid.toml`."),
    "micl": ("", "The configuration file of a project, micl.toml, or of a user, config.toml."),
}
"""The files with a schema: the command whose options the file holds, and a description."""
_TOP_LEVEL = {
    "home": "The folder that micl reads and writes.",
    "store": "The URL of the run store.",
    "cache_limit": "The maximum size of the encoder feature cache, such as 20GB; 0 disables it.",
    "judge_model": "The folder or hub id of the language model that judges answers.",
}
_STRING: Schema = {"type": "string"}
_TABLE: Schema = {"type": "object"}


def schema_of(file: str, group: LazyGroup, registry: Registry, distribution: str = "") -> Schema:
    """Return the JSON schema of a file of :data:`FILES`, with the plugins of one distribution, or of all."""
    command, text = FILES[file]
    plugins = _Plugins(registry, distribution)
    context = click.Context(group, info_name="micl")
    found = _project(group, context, plugins) if not command else _run(group, context, command, plugins)
    title = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"{file}.toml", "description": text}
    return {**title, **found, "definitions": plugins.definitions()}


def _run(group: LazyGroup, context: click.Context, name: str, plugins: _Plugins) -> Schema:
    command = group.get_command(context, name)
    assert command is not None
    table = _command(command, plugins, NOT_IN_FILES)
    described = {"summary": {**_STRING, "description": "What the file is for."}, "citation": _TABLE}
    assert set(described) == set(CITED)
    return {**table, "properties": {**described, **table["properties"]}}


def _project(group: LazyGroup, context: click.Context, plugins: _Plugins) -> Schema:
    tables = {}
    for name in group.lazy:
        command = group.get_command(context, name)
        assert command is not None
        tables[name] = _command(command, plugins, (TRUST,))
    texts: Schema = {name: {**_STRING, "description": text} for name, text in _TOP_LEVEL.items()}
    texts["store"] = {"anyOf": [texts["store"], tables.pop("store")]}
    listeners = {"type": "object", "additionalProperties": _TABLE, "description": "Options of listeners, by name."}
    return {"type": "object", "properties": {**texts, LISTEN: listeners, **tables}}


# Commands


def _command(command: click.Command, plugins: _Plugins, without: Iterable[str]) -> Schema:
    """Return the schema of the table of a command, with those of its subcommands."""
    options = [each for each in command.params if isinstance(each, click.Option) and each.expose_value]
    properties: Schema = {}
    for option in options:
        if option.name not in without:
            schema = _click_option(option, plugins)
            same = {**schema, "description": f"The same as {key_of(option)}."}
            properties |= {key: schema if key == key_of(option) else same for key in sorted(keys_of(option))}
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        properties[name] = _command(inner, plugins, without)
    if not form_of(command):
        return _closed(properties)
    for section, cls in zip(SECTIONS, (Training, Evaluation), strict=True):
        properties[section] = _closed(_settings(cls, properties))
    return {**_closed(properties), "allOf": plugins.conditions(JoinedOption not in map(type, _named(options)))}


def _named(options: Iterable[click.Option]) -> list[click.Option]:
    return [option for option in options if option.name == "strategy"]


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _settings(cls: type[Any], properties: Schema) -> Schema:
    """Return the properties of a table of settings, which has them by name and by flag."""
    found: Schema = {}
    for name, setting in declared_settings(cls).items():
        keys = [name, *(flag.removeprefix("--").replace("-", "_") for flag in setting.flags)]
        found |= {key: properties[setting.parameter] for key in keys if setting.parameter in properties}
    return found


def _click_option(option: click.Option, plugins: _Plugins) -> Schema:
    schema = {**_shape(option, plugins), "description": option.help or ""}
    default = option.to_info_dict()["default"]
    plain = isinstance(default, (bool, int, float, str)) and default != ""
    return {**schema, "default": default} if plain and not option.multiple else schema


def _shape(option: click.Option, plugins: _Plugins) -> Schema:
    """Return the types of values that a file may give to an option."""
    if option.name == OPTIONS:
        return {"$ref": "#/definitions/options"}
    if option.name == BACKBONE_OPTIONS:
        return {"$ref": "#/definitions/backbone_options"}
    if option.nargs != 1:
        return _TABLE
    item = _value(option, plugins)
    several = {"type": "array", "items": item}
    if isinstance(option, ListsOption):
        return {"anyOf": [item, several, {"type": "array", "items": several}]}
    return {"anyOf": [item, several]} if option.multiple or isinstance(option, JoinedOption) else item


def _value(option: click.Option, plugins: _Plugins) -> Schema:
    kind, default = option.type, option.default
    if option.name in ("strategy", "backbone"):
        return {"anyOf": [{"enum": plugins.names(option.name)}, _STRING]}
    if isinstance(kind, click.Choice):
        return {"enum": list(kind.choices)}
    if isinstance(kind, click.types.BoolParamType):
        return {"type": "boolean"}
    if isinstance(kind, click.types.IntParamType):
        number = {"type": "integer", **(_bounds(kind) if isinstance(kind, click.IntRange) else {})}
        return {"anyOf": [number, {"const": "none"}]} if isinstance(kind, OptionalRange) else number
    if isinstance(kind, click.types.FloatParamType):
        return {"type": "number", **(_bounds(kind) if isinstance(kind, click.FloatRange) else {})}
    return {"type": ["string", "integer"]} if isinstance(default, str) and default.isdecimal() else _STRING


def _bounds(kind: click.IntRange | click.FloatRange) -> Schema:
    return _limits(Range(kind.min, kind.max, kind.min_open, kind.max_open))


def _limits(interval: Range) -> Schema:
    low = "exclusiveMinimum" if interval.low_open else "minimum"
    high = "exclusiveMaximum" if interval.high_open else "maximum"
    return {key: value for key, value in ((low, interval.low), (high, interval.high)) if value is not None}


# Plugins


class _Plugins:
    """The strategies and backbones that a schema knows. Others are allowed, with any options."""

    def __init__(self, registry: Registry, distribution: str) -> None:
        self._options: dict[str, dict[str, dict[str, Option]]] = {}
        for kind, plural in (("strategy", "strategies"), ("backbone", "backbones")):
            parts = [part for part in registry.parts(plural) if distribution in ("", part.distribution)]
            self._options[kind] = {}
            for part in parts:
                name = part.qualified if part.state == "ambiguous" else part.name
                try:
                    self._options[kind][name] = options_of(registry.load(plural, name))
                except PluginError:  # `micl plugins` reports it
                    continue

    def names(self, kind: str) -> list[str]:
        """Return the names of the strategies or backbones."""
        return list(self._options[kind])

    def conditions(self, one_strategy: bool) -> list[Schema]:
        """Return the conditions under which a table has the options of one strategy, and of one backbone."""
        found = []
        for kind, table in (("strategy", OPTIONS), ("backbone", BACKBONE_OPTIONS)):
            for name in self.names(kind) if kind == "backbone" or one_strategy else ():
                named = {"properties": {kind: {"pattern": f"^{name}(:|$)", **_STRING}}, "required": [kind]}
                then = {"properties": {table: {"$ref": f"#/definitions/{kind} {name}"}}}
                found.append({"if": named, "then": then})
        return found

    def definitions(self) -> Schema:
        """Return the options of each plugin, and those of all plugins of a kind."""
        found: Schema = {}
        for kind, table in (("strategy", OPTIONS), ("backbone", BACKBONE_OPTIONS)):
            union: dict[str, list[Schema]] = {}
            for plugin, options in self._options[kind].items():
                properties = {name: _option(option) for name, option in options.items() if name != TRUST}
                found[f"{kind} {plugin}"] = _with_stages(kind, f"{kind} {plugin}", _closed(properties))
                for name, schema in properties.items():
                    named = {**schema, "description": f"{plugin}: {schema['description']}"}
                    union.setdefault(name, []).append(named)
            properties = {name: each[0] if len(each) == 1 else {"anyOf": each} for name, each in union.items()}
            found[table] = _with_stages(kind, table, {"type": "object", "properties": properties})
        return found


def _with_stages(kind: str, name: str, table: Schema) -> Schema:
    """Return the schema of options of a strategy, which may also be given for one task: [options.3], "3:name"."""
    if kind != "strategy":
        return table
    of_stage = {"allOf": [{"$ref": f"#/definitions/{name}"}], "propertyNames": {"pattern": "^[^0-9]"}}
    return {**table, "patternProperties": {"^[0-9]+$": of_stage, "^[0-9]+:": {}}}


def _option(option: Option) -> Schema:
    names = {bool: "boolean", int: "integer", float: "number"}
    value: Schema = {"type": names.get(option.type, "string"), **(_limits(option.range) if option.range else {})}
    if option.choices:
        value = {"enum": list(option.choices)}
    if option.optional:
        value = {"anyOf": [value, {"const": "none"}]}
    if option.default is not None:
        value["default"] = option.default
    return {**value, "description": option.help}
