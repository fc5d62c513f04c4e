"""``--save-config``: the run file of a command, which means the same in another folder and with other defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli import __version__
from micl_cli.cli.console import note
from micl_cli.cli.groups import key_of
from micl_cli.cli.plan_options import take_settings
from micl_cli.cli.run_file import BACKBONE_OPTIONS, NOT_IN_FILES, OPTIONS, located, located_variants
from micl_cli.cli.toml_files import checked_options
from micl_cli.errors import UsageError
from micl_cli.io.files import write_text
from micl_cli.io.text import read_text
from micl_cli.io.toml_text import toml_text
from micl_cli.plan import Evaluation, Plan, Training, declared_settings
from micl_cli.settings import SECTIONS, TRUST

if TYPE_CHECKING:
    from micl_cli.cli.recipe import Recipe
    from micl_cli.registry import Registry
    from micl_cli.settings import Settings
    from micl_cli.sweep.grid import Cell, Variant

save_option = click.option(
    "--save-config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a run file that means the same as this command, also with --dry-run.",
)
"""The option of commands that take a run file."""
_OF_PLANS = ("strategy", "tasks", "order", "seed", "backbone", "benchmark", "recipe", "recipe_set", "allow_defaults")


def save_learn_config(target: Path, plan: Plan) -> None:
    """Write the run file of the current ``micl learn``, with every option and setting of its plan.

    Raises UsageError if a file cannot hold the plan, or if there is another file.
    """
    if plan.parent or plan.attempt:
        flag = "--after" if plan.parent else "--again"
        raise UsageError(f"a run file cannot hold {flag}, which refers to another run", "Leave out --save-config.")
    table = {
        "strategy": plan.strategy,
        "tasks": list(plan.tasks),
        "backbone": plan.backbone,
        "seed": plan.seed,
        **_others(click.get_current_context(), (*_OF_PLANS, "quantize")),
        BACKBONE_OPTIONS: _without_trust(target, plan.backbone_options),
        OPTIONS: {**plan.strategy_options, **plan.stage_options},
        "training": asdict(plan.training),
        "evaluation": asdict(plan.evaluation),
    }
    _write(target, f"run {plan.id}", "learn", table)


def save_sweep_config(
    target: Path, variants: Sequence[Variant], cells: Sequence[Cell], recipes: Mapping[str, Recipe], settings: Settings,
    registry: Registry,
) -> None:  # fmt: skip
    """Write the run file of the current ``micl sweep``. Raises UsageError as :func:`save_learn_config`."""
    context = click.get_current_context()
    given = context.params
    here = Path.cwd() / "micl.toml"  # paths of the command line are relative to the current folder
    of_recipes = [recipes.get(variant.label) for variant in variants]
    shared = _Shared(context, [recipe for recipe in of_recipes if recipe], len(variants))
    configured = {**settings.options("learn"), **settings.options("sweep")}
    flagged = context.get_parameter_source(OPTIONS) is not ParameterSource.DEFAULT_MAP
    options = shared.left("options", configured, dict(given[OPTIONS]) if flagged else {})
    classes = [(f"strategy {each.strategy}", registry.load("strategies", each.strategy)) for each in variants]
    table = {
        "strategy": located_variants(variants, here, registry),
        "order": [name for name in located("order", given["order"] or "", here.parent).split(",") if name],
        "tasks": [[name.strip() for name in tasks.split(",")] for tasks in given["tasks"]],
        "seed": list(dict.fromkeys(cell.seed for cell in cells)),
        "benchmark": given["benchmark"],
        "backbone": located("backbone", given["backbone"], here.parent),
        **({"recipe_set": located("recipe_set", given["recipe_set_name"], here.parent)} if recipes else {}),
        **_others(context, (*_OF_PLANS, "recipe_set_name")),
        BACKBONE_OPTIONS: _without_trust(target, dict(given[BACKBONE_OPTIONS])),
        OPTIONS: checked_options(options, classes, here, known_only=True),
        **shared.settings(cells[0].plan),
    }
    _write(target, f"{len(cells)} cells", "sweep", {key: value for key, value in table.items() if value != []})


class _Shared:
    """The options and settings that a run file gives to all cells of a sweep, in which they override recipes."""

    def __init__(self, context: click.Context, recipes: Sequence[Recipe], variants: int) -> None:
        self.context, self.recipes, self.variants = context, recipes, variants

    def left(self, section: str, configured: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that are ``given``, and those of configuration files that no recipe overrides.

        Raises UsageError if recipes override one for some strategies only.
        """
        kept = {}
        for name, value in configured.items():
            count = sum(name in getattr(recipe, section) for recipe in self.recipes)
            if 0 < count < self.variants and name not in given:
                raise UsageError(
                    f"{name} is set by a configuration file and by the recipes of some strategies only",
                    "Set it by its flag, or leave out --save-config.",
                )
            if not count:
                kept[name] = value
        return {**kept, **given}

    def settings(self, plan: Plan) -> dict[str, Any]:
        """Return the tables of training and evaluation: all settings of the plans, unless recipes differ in them."""
        if not self.recipes:
            return {"training": asdict(plan.training), "evaluation": asdict(plan.evaluation)}
        tables = {}
        for section, cls in zip(SECTIONS, (Training, Evaluation), strict=True):
            sources = {
                name: self.context.get_parameter_source(s.parameter) for name, s in declared_settings(cls).items()
            }
            values = take_settings(cls, {k: v for k, v in self.context.params.items() if v is not None})
            configured = {k: v for k, v in values.items() if sources[k] is ParameterSource.DEFAULT_MAP}
            given = {name: value for name, value in values.items() if name not in configured}
            tables[section] = self.left(section, configured, given)
        return tables


def _others(context: click.Context, known: Iterable[str]) -> dict[str, Any]:
    """Return the values of options that are not part of plans, by the keys of files, if they are not the defaults."""
    settings = {s.parameter for cls in (Training, Evaluation) for s in declared_settings(cls).values()}
    left_out: Collection[str] = {*known, *settings, *NOT_IN_FILES, OPTIONS, BACKBONE_OPTIONS}
    values = {}
    for option in context.command.params:
        if not isinstance(option, click.Option) or not option.expose_value or option.name in left_out:
            continue
        value = context.params[option.name or ""]
        if context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT and value != "":
            values[key_of(option)] = "all" if value is None else list(value) if isinstance(value, tuple) else value
    return values


def _without_trust(target: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a backbone without the permission to run code, which files cannot give."""
    if options.get(TRUST, False) is not False:
        note(f"note: {target} cannot allow the checkpoint's code to run: add --trust-remote-code when you use it")
    return {name: value for name, value in options.items() if name != TRUST}


def _write(target: Path, what: str, command: str, table: Mapping[str, Any]) -> None:
    """Write a run file. Raises UsageError if there is another file, MiclError if it cannot be written."""
    head = f"# The options of {what}, written by micl {__version__}. Use it so: micl {command} {target.name}\n"
    text = head + toml_text(table)
    if target.exists():
        try:
            same = read_text(target) == text
        except (OSError, ValueError):
            same = False
        if not same:
            raise UsageError(f"{target} exists, with other content", "Name another file for --save-config.")
        return
    write_text(target, text)
