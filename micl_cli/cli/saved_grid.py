"""``--save-config`` of ``micl sweep``: the axes of a grid, and what all of its cells share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.cell_requests import given_options, strategy_classes
from micl_cli.cli.plan_options import take_settings
from micl_cli.cli.run_file import BACKBONE_OPTIONS, OPTIONS, located, located_variants
from micl_cli.cli.saved_config import OF_PLANS, other_values, without_trust, write_run_file
from micl_cli.cli.toml_files import checked_options, configured_options
from micl_cli.errors import UsageError
from micl_cli.plan import BackboneName, Evaluation, Plan, Training, declared_settings
from micl_cli.settings import SECTIONS

if TYPE_CHECKING:
    from micl_cli.cli.recipe import Recipe
    from micl_cli.session import Session
    from micl_cli.sweep.grid import Cell, Variant


def save_sweep_config(
    target: Path, session: Session, variants: Sequence[Variant], cells: Sequence[Cell], recipes: Mapping[str, Recipe]
) -> None:
    """Write the run file of the current ``micl sweep``. Raises UsageError as :func:`save_learn_config`."""
    context, registry = click.get_current_context(), session.registry
    given, folder = context.params, Path.cwd()
    command_line = folder / "-"  # its paths are relative to the current folder, as if it were a file there
    strategies = strategy_classes(variants, registry)
    shared = _Shared(context, list(recipes.values()), len(variants))
    configured = configured_options(session.settings, ["learn", "sweep"], strategies, known_only=True)
    options = shared.left(OPTIONS, configured, given_options(given))
    name = BackboneName.parse(given["backbone"], registry).name
    backbone = [(f"backbone {name}", registry.load("backbones", name))]
    table = {
        "strategy": located_variants(variants, command_line, registry),
        "order": [name for name in located("order", given["order"] or "", folder).split(",") if name],
        "tasks": [[name.strip() for name in tasks.split(",")] for tasks in given["tasks"]],
        "seed": list(dict.fromkeys(cell.seed for cell in cells)),
        "benchmark": given["benchmark"],
        "backbone": located("backbone", given["backbone"], folder),
        **({"recipe_set": located("recipe_set", given["recipe_set_name"], folder)} if recipes else {}),
        **other_values(context, (*OF_PLANS, "recipe_set_name")),
        BACKBONE_OPTIONS: checked_options(without_trust(target, dict(given[BACKBONE_OPTIONS])), backbone, command_line),
        OPTIONS: checked_options(options, strategies, command_line, known_only=True),
        **shared.settings(cells[0].plan),
    }
    write_run_file(target, f"{len(cells)} cells", "sweep", {key: value for key, value in table.items() if value != []})


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
