"""``--save-config``: the run file of a command, which means the same in another folder and with other defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from micl_cli import __version__
from micl_cli.api.options import options_of
from micl_cli.cli.console import note
from micl_cli.cli.groups import key_of
from micl_cli.cli.run_file import BACKBONE_OPTIONS, NOT_IN_FILES, OPTIONS
from micl_cli.errors import UsageError
from micl_cli.io.files import write_text
from micl_cli.io.text import read_text
from micl_cli.io.toml_text import toml_text
from micl_cli.plan import Evaluation, Plan, Training, declared_settings
from micl_cli.registry import Registry
from micl_cli.settings import TRUST

save_option = click.option(
    "--save-config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write this command as a run file, also with --dry-run.",
)
"""The option of commands that take a run file."""
OF_PLANS = ("strategy", "tasks", "order", "seed", "backbone", "benchmark", "recipe", "recipe_set", "allow_defaults")
"""Options that a run file stores in a form of their own."""


def save_learn_config(target: Path, plan: Plan, registry: Registry) -> None:
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
        **other_values(click.get_current_context(), (*OF_PLANS, "quantize")),
        BACKBONE_OPTIONS: without_trust(target, plan.backbone_options),
        OPTIONS: {**_defaults(plan.strategy, registry), **plan.strategy_options, **plan.stage_options},
        "training": asdict(plan.training),
        "evaluation": asdict(plan.evaluation),
    }
    write_run_file(target, f"run {plan.id}", "learn", table)


def _defaults(strategy: str, registry: Registry) -> dict[str, Any]:
    """Return what a plan without an option of a strategy stands for: plans leave out some, which are added later."""
    options = [each for each in options_of(registry.load("strategies", strategy)).values() if not each.required]
    return {each.name: each.default if each.formerly is None else each.formerly for each in options}


def other_values(context: click.Context, known: Iterable[str]) -> dict[str, Any]:
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


def without_trust(target: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a backbone without the permission to run code, which files cannot give."""
    if options.get(TRUST, False) is not False:
        note(f"note: {target} cannot allow the checkpoint's code to run: add --trust-remote-code when you use it")
    return {name: value for name, value in options.items() if name != TRUST}


def write_run_file(target: Path, what: str, command: str, table: Mapping[str, Any]) -> None:
    """Write a run file. Raises UsageError if there is another file, MiclError if it cannot be written."""
    head = f"# The options of {what}, written by micl {__version__}. Use it with: micl {command} {target.name}\n"
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
