"""``micl sweep``: a grid of strategies, orders and seeds, each cell an ordinary run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.completers import complete_orders, complete_strategy_list, complete_tasks
from micl_cli.cli.console import echo, echo_json, table
from micl_cli.cli.groups import defaults
from micl_cli.cli.learn import EVALUATION, backbone_options, by_stage, learn
from micl_cli.cli.recipe import read_recipe, recipe_names
from micl_cli.cli.status import hushed, preparing
from micl_cli.errors import UsageError, nearest
from micl_cli.settings import load_settings

if TYPE_CHECKING:
    from micl_cli.session import Request, Session
    from micl_cli.sweep.grid import Cell

_NOT_SHARED = frozenset(
    ("strategy", "tasks", "recipe", "seed", "name", "again", "resume", "after", "dry_run", "as_json")
)
"""Options of ``micl learn`` that say which run is meant; all others hold for every cell."""
_OURS = "micl-"
"""How the names of the recipes with MICL's orders begin; ``order-1`` is short for one."""

EPILOG = """\b
Examples:
  micl sweep --strategy finetune,lwf,ewc --order order-1,order-2 --seed 0..2
  micl sweep --strategy 'ewc[lambda_ewc=10],ewc[lambda_ewc=100]' --order order-1 --eval-split val
  micl sweep --strategy finetune,replay --tasks img_cap,aud_qa --tasks aud_qa,img_cap -o replay 32
  micl report $(micl sweep --strategy finetune,moincl --order order-1 --seed 0..2)

\b
Stdout is the ids of the finished runs in the grid's order (cells as JSON lines with --json). The
same command again skips what is finished and goes on with the rest. Started on several machines
that share a store, each takes cells that no other has begun.
What [learn] and MICL_STORE say holds here too; [sweep] goes before [learn].
Exit codes: 0 ok (busy cells were left to who has them), 1 a cell failed, 130 interrupted."""


class _Sweep(click.Command):
    """A command that takes what the files set for ``micl learn``, where they set nothing for itself."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the defaults of ``micl learn`` below the command's own."""
        if not (ctx.resilient_parsing or {"-h", "--help"} & set(args)):
            found = defaults(load_settings(), learn, "learn", ctx)
            inherited = {name: value for name, value in found.items() if name not in {*_NOT_SHARED, "options"}}
            ctx.default_map = {**inherited, **(ctx.default_map or {})}
        return super().parse_args(ctx, args)


@click.command(cls=_Sweep, epilog=EPILOG)
@click.option(
    "--strategy", shell_complete=complete_strategy_list, metavar="A,B[OPTION=VALUE,...]",
    help="The methods, each with options of its own in brackets where wanted.",
)  # fmt: skip
@click.option(
    "--order", shell_complete=complete_orders, metavar="ORDER,...",
    help="Orders of tasks: order-1, order-2 (MICL's), or a recipe by name or file. Only its tasks are taken; "
    "strategies have their defaults.",
)  # fmt: skip
@click.option("--tasks", "tasks", multiple=True, shell_complete=complete_tasks, metavar="TASK,...",
              help="One more order, task by task; may be repeated.")  # fmt: skip
@click.option("--seed", default="0", metavar="SEEDS", help="Seeds: 0..2 (with both ends), 0,3,7 or 5.")
@click.option(
    "--jobs",
    default=1,
    type=click.IntRange(1),
    help="Runs at a time, each in a process of its own; the CPU's threads are divided among them.",
)
@click.option("--dry-run", is_flag=True, help="Check and list the cells with an estimate; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write cells as JSON lines.")
def sweep(
    strategy: str | None,
    order: str | None,
    tasks: tuple[str, ...],
    seed: str,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Learn every strategy on every order with every seed.

    Each cell is an ordinary run: it resumes, and what is finished is skipped. A cell that fails
    does not stop the others. Ctrl-C keeps what is learnt.

    Of --threads, each process gets its share.
    """
    from micl_cli.cli.sweep_progress import Work
    from micl_cli.session import Session
    from micl_cli.sweep.grid import grid, parse_seeds, parse_variants

    session, seeds = Session(load_settings()), parse_seeds(seed)
    variants = parse_variants(strategy or "")
    orders = _orders(order or "", tasks, flags["benchmark"])
    with hushed():
        requests = _requests(session, variants, flags)
        cells = grid(session, requests, orders, seeds, dry=dry_run, watch=preparing)
        if dry_run:
            _show(session, cells, jobs, flags["device"], as_json)
            return
        Work(session, cells, jobs, flags, as_json).run()


def _shared() -> list[click.Option]:
    """Copies of the options of ``micl learn`` that hold for every cell."""
    options = [parameter for parameter in learn.params if isinstance(parameter, click.Option)]
    own = [copy.copy(option) for option in options if option.expose_value and option.name not in _NOT_SHARED]
    for option in own:
        option.envvar = None  # the variable is named after the command, which may have been done for learn
        if option.name == "options":
            option.help = "Set an option of those strategies that have it; 3:NAME sets it for the third task only."
    return own


sweep.params += _shared()


def _orders(text: str, lists: Sequence[str], benchmark: str) -> dict[str, tuple[str, ...]]:
    """The tasks of each order, by its label."""
    from micl_cli.plan import split_tasks

    named = [(name, _order(name)) for name in (part.strip() for part in text.split(",")) if name]
    found: dict[str, tuple[str, ...]] = {}
    for label, tasks in [*named, *((words, words) for words in lists)]:
        full = split_tasks(tasks, benchmark)
        if twin := next((other for other in found if found[other] == full), None):
            raise UsageError(f"the orders {twin} and {label} are the same", "Leave one of them out.")
        found[label] = full
    if not found:
        raise UsageError("no order is named", "Name one: --order order-1, or --tasks img_cap,aud_qa")
    return found


def _order(name: str) -> str:
    known = {recipe.removeprefix(_OURS) for recipe in recipe_names()}
    if not name.endswith(".toml") and name.removeprefix(_OURS) not in known:
        hint = nearest(name, known) or f"Known: {', '.join(sorted(known))}; or a recipe's .toml file; or use --tasks."
        raise UsageError(f"no order {name!r}", hint)
    recipe = read_recipe(name if name in recipe_names() or name.endswith(".toml") else _OURS + name)
    if not recipe.tasks:
        raise UsageError(f"recipe {name} names no tasks", "Name them with --tasks.")
    return recipe.tasks


def _requests(session: Session, variants: Sequence[Any], flags: Mapping[str, Any]) -> list[tuple[str, Request]]:
    """A label and a request for each variant, still without tasks."""
    from micl_cli.plan import Training
    from micl_cli.session import Request
    from micl_cli.sweep.grid import options_for

    settings = session.settings
    configured = {**settings.options("learn"), **settings.options("sweep")}
    source = click.get_current_context().get_parameter_source("options")
    asked = {} if source is ParameterSource.DEFAULT_MAP else dict(flags["options"])
    found = []
    for variant, raw in zip(variants, options_for(variants, asked, configured, session.registry), strict=True):
        options, stage_options = by_stage(raw)
        request = Request(
            strategy=variant.strategy,
            backbone=flags["backbone"],
            tasks=(),
            strategy_options=options,
            stage_options=stage_options,
            backbone_options=dict(backbone_options(flags["quantize"], flags["backbone_options"])),
            training=_given({f.name: flags[f.name] for f in fields(Training)}),
            evaluation=_given({name: flags[flag] for name, flag in EVALUATION.items()}),
        )
        found.append((variant.label, request))
    return found


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _show(session: Session, cells: Sequence[Cell], jobs: int, device: str, as_json: bool) -> None:
    """The cells, how far they are, and an estimate."""
    from micl_cli.sweep.grid import cell_estimates

    found = list(cell_estimates(session, cells, device))
    known = [estimate.seconds for estimate in found if estimate.seconds is not None]
    total = sum(known) / min(jobs, len(found))
    if as_json:
        whole = total if len(known) == len(found) else None
        echo_json({"cells": [estimate.as_json() for estimate in found], "jobs": jobs, "seconds": whole})
        return
    rows = [
        [o.cell.plan.id, o.cell.strategy, o.cell.order, o.cell.seed, o.state, o.steps, _seconds(o.seconds)]
        for o in found
    ]
    echo(table(["run", "strategy", "order", "seed", "status", "steps", "seconds"], rows))
    echo()
    left = [estimate for estimate in found if estimate.state != "finished"]
    time = f"about {total:.0f} s of learning with {jobs} at a time"
    if unknown := len(found) - len(known):
        time += f", and {unknown} of them with no earlier run to tell the time from"
    if unknown == len(left) > 0:
        time = "no earlier run of these strategies and this backbone to tell the time from"
    echo(f"{len(left)} of {len(found)} cells to learn: {time}" if left else "every cell is finished")


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
