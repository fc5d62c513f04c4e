"""Requests for the cells of a sweep or of a study, from the options that these commands share with ``micl learn``."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.command import Command
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import defaults
from micl_cli.cli.learn import learn
from micl_cli.cli.learn_request import backbone_options, not_none, split_stage_options, with_trust
from micl_cli.cli.plan_options import given_settings, pop_settings
from micl_cli.cli.recipe import Recipe
from micl_cli.cli.toml_files import configured_options
from micl_cli.plan import Evaluation, Training

if TYPE_CHECKING:
    from micl_cli.registry import Registry
    from micl_cli.session import Request, Session
    from micl_cli.sweep.grid import Variant

NOT_SHARED = frozenset(
    ("strategy", "tasks", "recipe", "seed", "name", "again", "resume", "after", "save_config", "dry_run", "as_json")
)
"""Options of ``micl learn`` that identify a single run; all others apply to every cell."""


class CellCommand(Command):
    """A command that also takes the values of ``micl learn`` from configuration files."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Use the configured values of ``micl learn`` where the command has none of its own."""
        if not (ctx.resilient_parsing or {"-h", "--help"} & set(args)):
            of_learn = defaults(current_settings(ctx), learn, "learn", ctx)
            inherited = {name: value for name, value in of_learn.items() if name not in {*NOT_SHARED, "options"}}
            ctx.default_map = {**inherited, **(ctx.default_map or {})}
        return super().parse_args(ctx, args)


def shared_options(without: Collection[str] = ()) -> list[click.Option]:
    """Return copies of the options of ``micl learn`` that apply to every cell."""
    options = [parameter for parameter in learn.params if isinstance(parameter, click.Option)]
    names = {*NOT_SHARED, *without}
    shared = [copy.copy(option) for option in options if option.expose_value and option.name not in names]
    for option in shared:
        option.envvar = None  # named after the command; it may already be that of learn
        if option.name == "options":
            option.help = (
                "Set an option of all strategies that have it, also as NAME=VALUE; "
                "3:NAME sets it for the third task only."
            )
    return shared


def given_parameters(flags: Collection[str]) -> frozenset[str]:
    """Return the parameters of the current command that are given on the command line or by a variable."""
    context = click.get_current_context()
    sources = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return frozenset(name for name in flags if context.get_parameter_source(name) in sources)


def cell_requests(
    session: Session,
    variants: Sequence[Variant],
    flags: dict[str, Any],
    command: str,
    recipes: Mapping[str, Recipe] | None = None,
) -> list[tuple[str, Request]]:
    """Return a label and a request for each variant, without tasks.

    ``command`` names the table of the configuration files that takes precedence over that of ``micl learn``. The
    ``recipes``, by label, take precedence over configuration files, and flags over recipes.
    """
    from micl_cli.session import Request
    from micl_cli.sweep.grid import options_for

    recipes = recipes or {}
    configured = configured_options(
        session.settings, ["learn", command], strategy_classes(variants, session.registry), known_only=True
    )
    given, flagged = given_options(flags), given_parameters(flags)
    of_recipes = [recipes.get(variant.label, Recipe()) for variant in variants]
    parameters = {cls: pop_settings(cls, flags) for cls in (Training, Evaluation)}
    pairs = backbone_options(flags["quantize"], flags["backbone_options"])
    raw_options = options_for(variants, given, configured, session.registry, [recipe.options for recipe in of_recipes])
    requests = []
    for variant, raw, recipe in zip(variants, raw_options, of_recipes, strict=True):
        options, stage_options = split_stage_options(raw)
        with_recipe = {
            cls: {**not_none(values), **of_recipe, **given_settings(cls, values, flagged)}
            for (cls, values), of_recipe in zip(parameters.items(), (recipe.training, recipe.evaluation), strict=True)
        }
        request = Request(
            strategy=variant.strategy,
            backbone=flags["backbone"],
            tasks=(),
            strategy_options=options,
            stage_options=stage_options,
            backbone_options=with_trust(pairs, flags["trust_remote_code"], flags["backbone"], session.registry),
            training=with_recipe[Training],
            evaluation=with_recipe[Evaluation],
        )
        requests.append((variant.label, request))
    return requests


def strategy_classes(variants: Sequence[Variant], registry: Registry) -> list[tuple[str, type[Any]]]:
    """Return the classes of strategies, with what they are called in messages."""
    names = dict.fromkeys(variant.strategy for variant in variants)
    return [(f"strategy {name}", registry.load("strategies", name)) for name in names]


def given_options(flags: Mapping[str, Any]) -> dict[str, str]:
    """Return the strategy options that are not from configuration files."""
    source = click.get_current_context().get_parameter_source("options")
    return {} if source is ParameterSource.DEFAULT_MAP else dict(flags["options"])
