"""Run files: TOML files with the options of ``micl learn`` or ``micl sweep``.

A run file stands for the options it holds, as if they were written before those of the command line. The table of the
command in ``micl.toml`` has the same keys.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.command import Command
from micl_cli.cli.console import note
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import by_key, checked
from micl_cli.cli.plan_options import flat_settings
from micl_cli.cli.recipe import Recipe, read_recipe, same_value
from micl_cli.cli.status import quiet_libraries
from micl_cli.cli.toml_files import SUFFIX, beside, checked_options, in_file, plugin_options, read_table
from micl_cli.cli.unexpected import unexpected_words
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import BackboneName, Evaluation, Training, declared_settings
from micl_cli.registry import Registry
from micl_cli.settings import SECTIONS, TRUST, located_backbone, refuse_trust

if TYPE_CHECKING:
    from micl_cli.sweep.grid import Variant

CITED = ("summary", "citation")
"""The keys of a file that describe it, and set no option."""
NOT_IN_FILES = frozenset(("resume", "after", "again", "dry_run", "as_json", "save_config", TRUST))
"""The options of ``micl learn`` and ``micl sweep`` that a run file cannot set."""
LEARN_ONLY = ("name", "recipe")
"""The keys of files for ``micl learn`` alone."""
SWEEP_ONLY = ("order", "recipe_set", "allow_defaults", "jobs")
"""The keys of files for ``micl sweep`` alone."""
OPTIONS, BACKBONE_OPTIONS = "options", "backbone_options"
_FILE = "micl_cli.run_file"


@dataclass(frozen=True)
class RunFile:
    """A run file. ``values`` holds the values of options by parameter, those of plugins in tables by name."""

    path: Path
    values: Mapping[str, Any]
    cites: bool = False
    """Whether the file cites the study that found its options, as those of ``micl tune freeze`` do."""


class FileCommand(Command):
    """A command that takes its options from a run file, too: the argument ``file``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, and use the file for options that are not on the command line."""
        rest = super().parse_args(ctx, args)
        if (name := ctx.params.get("file")) and not ctx.resilient_parsing:
            _apply(read_run_file(name, self, ctx), ctx)
        return rest


def current_file() -> RunFile | None:
    """Return the run file of the current command, if one is given."""
    file: RunFile | None = click.get_current_context().meta.get(_FILE)
    return file


# Reading


def read_run_file(name: str, command: click.Command, ctx: click.Context) -> RunFile:
    """Return a run file with the values of a command's options, checked as those of the command line are.

    Raises UsageError, which names file and key.
    """
    path = _existing(name, ctx)
    table, _ = read_table(path, "run file")
    refuse_trust(table, path)
    cites = bool(table.get("citation"))
    flat = flat_settings({key: value for key, value in table.items() if key not in CITED}, str(path))
    options = by_key(command)
    values: dict[str, Any] = {}
    for key, value in flat.items():
        option = options.get(key.replace("-", "_"))
        if not option or not option.name or option.name in NOT_IN_FILES:
            raise _unusable(path, key, option, command)
        if option.name in values:
            raise UsageError(f"{path}: {option.name} is set twice", "Keep one of its keys.")
        _refuse_axis(path, option.name, value, command)
        values[option.name] = _value(path, option, key, value, ctx)
    return RunFile(path, values, cites)


def _existing(name: str, ctx: click.Context) -> Path:
    """Return the path of a run file. Raises UsageError, with the way out where it is no file but a task or recipe."""
    path = Path(name).expanduser()
    if path.exists() or name.endswith(SUFFIX):
        return path
    raise unexpected_words(ctx, [name], ctx.params)


def _unusable(path: Path, key: str, option: click.Option | None, command: click.Command) -> UsageError:
    """Return the error for a key that the command does not have, or that a file cannot set."""
    if option:
        return UsageError(f"{path}: {key} cannot be set by a run file", f"Give {option.opts[0]} on the command line.")
    for keys, other in ((LEARN_ONLY, "learn"), (SWEEP_ONLY, "sweep")):
        if key.replace("-", "_") in keys and command.name != other:
            hint = f"Use the file with it: micl {other} {path}"
            return UsageError(f"{path}: {key} is a key of files for `micl {other}`", hint)
    usable = [name for name, each in by_key(command).items() if each.name not in NOT_IN_FILES]
    known = sorted({*usable, *SECTIONS, *CITED})
    return UsageError(f"{path}: unknown key {key!r}", nearest(key, known) or f"Known: {', '.join(known)}.")


def _refuse_axis(path: Path, key: str, value: Any, command: click.Command) -> None:
    """Raise UsageError if a file for one run has several strategies, orders or seeds."""
    if command.name != "learn":
        return
    several = {
        "strategy": isinstance(value, list) or (isinstance(value, str) and bool({",", "["} & set(value))),
        "seed": isinstance(value, list) or (isinstance(value, str) and bool({",", "."} & set(value))),
        "tasks": isinstance(value, list) and any(isinstance(item, list) for item in value),
    }
    if several.get(key):
        raise UsageError(
            f"{path}: {key} is {value!r}, an axis of a sweep, and `micl learn` takes one value",
            f"Learn the grid: micl sweep {path}",
        )


def _value(path: Path, option: click.Option, key: str, value: Any, ctx: click.Context) -> Any:
    """Return the value of an option as its command receives it, with paths relative to the file."""
    if option.name in (OPTIONS, BACKBONE_OPTIONS):
        if not isinstance(value, Mapping):
            raise UsageError(f"{path}: {key} is {value!r}", f"It must be a table: [{key}].")
        return plugin_options(path, value)
    shaped = checked(option, key, value, str(path), ctx)
    with in_file(path):
        return option.process_value(ctx, located(option.name or key, shaped, path.absolute().parent))


def located(parameter: str, value: Any, folder: Path) -> Any:
    """Return a value with its paths, which are relative to ``folder``."""
    if parameter == "backbone":
        return located_backbone(value, folder)
    if parameter in ("recipe", "order") and isinstance(value, str):
        names = (name.strip() for name in value.split(","))
        return ",".join(beside(name, folder) if name.endswith(SUFFIX) else name for name in names)
    if parameter in ("recipe_set", "recipe_set_name") and isinstance(value, str) and ("/" in value or os.sep in value):
        return beside(value, folder)
    return value


# Use


def _apply(file: RunFile, ctx: click.Context) -> None:
    """Set the options of a file that are not on the command line."""
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    values = dict(file.values)
    _leave_other_options(file, values, ctx, given)
    _leave_other_quantization(values, ctx, given)
    recipe = _recipe(values, ctx)
    if recipe and "recipe" in given:
        _refuse_contradiction(file, recipe, values, ctx, given)
    with quiet_libraries():
        _check_options(file, values, ctx, recipe)
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs = dict(ctx.params[name]) if name in given else {}
            ctx.params[name] = tuple({**value, **pairs}.items())
        elif name not in given:
            ctx.params[name] = value
        # A file stands for options that are written before those of the command line.
        ctx.set_parameter_source(name, ParameterSource.COMMANDLINE)
    ctx.meta[_FILE] = file


def _leave_other_options(file: RunFile, values: dict[str, Any], ctx: click.Context, given: set[str]) -> None:
    """Leave out the options of a file that are for another strategy or backbone than that of the command line."""
    for name, table in (("strategy", OPTIONS), ("backbone", BACKBONE_OPTIONS)):
        if table == OPTIONS and ctx.command.name != "learn":
            continue  # options of a sweep reach the strategies that have them
        former, chosen = values.get(name), ctx.params[name]
        if name in given and values.get(table) and former and former != chosen:
            del values[table]
            note(f"the {table.replace('_', ' ')} of {file.path} are for {name} {former}; {chosen} ignores them")


def _leave_other_quantization(values: dict[str, Any], ctx: click.Context, given: set[str]) -> None:
    """Leave out --quantize of a file if -b quantize is on the command line, and the reverse."""
    if BACKBONE_OPTIONS in given and "quantize" in dict(ctx.params[BACKBONE_OPTIONS]):
        values.pop("quantize", None)
    if "quantize" in given and BACKBONE_OPTIONS in values:
        values[BACKBONE_OPTIONS] = {k: v for k, v in values[BACKBONE_OPTIONS].items() if k != "quantize"}


def _recipe(values: Mapping[str, Any], ctx: click.Context) -> Recipe | None:
    """Return the recipe that is used beside a file."""
    name = values.get("recipe") or ctx.params.get("recipe")
    return read_recipe(name, current_settings(ctx)) if name else None


def _refuse_contradiction(
    file: RunFile, recipe: Recipe, values: Mapping[str, Any], ctx: click.Context, given: set[str]
) -> None:
    """Raise UsageError if a file and the recipe of the command line set an option to different values."""
    settings = {
        setting.parameter: of_recipe[name]
        for cls, of_recipe in ((Training, recipe.training), (Evaluation, recipe.evaluation))
        for name, setting in declared_settings(cls).items()
        if name in of_recipe
    }
    theirs = {"strategy": recipe.strategy, "tasks": recipe.tasks, **settings}
    pairs = [(key, values[key], value) for key, value in theirs.items() if value != "" and key in values.keys() - given]
    strategy = ctx.params["strategy"] if "strategy" in given else values.get("strategy")
    if strategy is None or recipe.is_for(strategy):
        flagged = dict(ctx.params[OPTIONS]) if OPTIONS in given else {}
        ours = {name: value for name, value in values.get(OPTIONS, {}).items() if name not in flagged}
        pairs += [(f"option {name}", ours[name], value) for name, value in recipe.options.items() if name in ours]
    for key, ours, value in pairs:
        if not same_value(ours, value):
            raise UsageError(
                f"{file.path} and recipe {ctx.params['recipe']} contradict each other: "
                f"{key} is {ours} in the file and {value} in the recipe",
                "Leave out one of the two, or set the option by its flag.",
            )


def _check_options(file: RunFile, values: dict[str, Any], ctx: click.Context, recipe: Recipe | None) -> None:
    """Check the options of plugins in a file, and make their paths absolute."""
    from micl_cli.sweep.grid import parse_variants

    if ctx.command.name == "sweep" and "[" in str(values.get("strategy")):
        with in_file(file.path):
            variants = parse_variants(values["strategy"])
            values["strategy"] = ",".join(located_variants(variants, file.path, Registry.discover()))
    for table, kind in ((OPTIONS, "strategy"), (BACKBONE_OPTIONS, "backbone")):
        if not values.get(table):
            continue
        given = ctx.get_parameter_source(kind) is ParameterSource.COMMANDLINE
        of_file = None if given else values.get(kind)
        of_recipe = recipe.strategy if recipe and kind == "strategy" and not given else None
        with in_file(file.path) if of_file else nullcontext():
            plugins = _plugins(kind, of_file or of_recipe or ctx.params[kind], ctx)
        if plugins:
            values[table] = checked_options(values[table], plugins, file.path)


def _plugins(kind: str, text: str | None, ctx: click.Context) -> list[tuple[str, type[Any]]]:
    """Return the strategies or the backbone that a command names, with what they are called in messages."""
    registry = Registry.discover()
    if kind == "backbone":
        name = BackboneName.parse(str(text), registry).name
        return [(f"backbone {name}", registry.load("backbones", name))]
    return [(f"strategy {name}", registry.load("strategies", name)) for name in _strategies(text or "", ctx)]


def _strategies(text: str, ctx: click.Context) -> list[str]:
    from micl_cli.sweep.grid import parse_variants

    if ctx.command.name == "learn" or not text:
        return [text] if text else []
    return list(dict.fromkeys(variant.strategy for variant in parse_variants(text)))


def located_variants(variants: Sequence[Variant], path: Path, registry: Registry) -> list[str]:
    """Return the texts of strategies with options in brackets, in which the paths of a file are absolute."""
    texts = []
    for variant in variants:
        cls = registry.load("strategies", variant.strategy)
        options = checked_options(variant.options, [(f"strategy {variant.strategy}", cls)], path)
        pairs = ",".join(f"{name}={_bracketed(str(value))}" for name, value in options.items())
        texts.append(variant.label if options == variant.options else f"{variant.strategy}[{pairs}]")
    return texts


def _bracketed(value: str) -> str:
    return f"[{value}]" if {",", "[", "]"} & set(value) else value
