"""``micl sweep``: learn a grid of strategies, orders and seeds, each cell an ordinary run."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from micl_cli.cli.command import Command, JoinedOption
from micl_cli.cli.completers import complete_orders, complete_strategy_list, complete_tasks
from micl_cli.cli.console import echo, echo_json, note, output, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import defaults
from micl_cli.cli.learn import learn
from micl_cli.cli.learn_request import allows_code, backbone_options, not_none, split_stage_options, with_trust
from micl_cli.cli.plan_options import pop_settings
from micl_cli.cli.recipe import read_recipe, recipe_names
from micl_cli.cli.status import DownloadBars, preparing, quiet_libraries, stopping_note
from micl_cli.errors import Interrupted, UsageError, nearest
from micl_cli.plan import Evaluation, Training, split_tasks

if TYPE_CHECKING:
    from micl_cli.registry import Registry
    from micl_cli.session import Request, Session
    from micl_cli.sweep.grid import Cell, Variant
    from micl_cli.sweep.scheduler import CellOptions

_NOT_SHARED = frozenset(
    ("strategy", "tasks", "recipe", "seed", "name", "again", "resume", "after", "dry_run", "as_json")
)
"""Options of ``micl learn`` that identify a single run; all others apply to every cell."""
_RECIPE_PREFIX = "micl-"
"""The optional prefix of the recipes with MICL's orders (``order-1``)."""

EPILOG = """\b
Examples:
  micl sweep --strategy finetune,lwf,ewc --order order-1,order-2 --seed 0..2
  micl sweep --strategy 'ewc[lambda_ewc=10],ewc[lambda_ewc=100]' --order order-1 --eval-split val
  micl sweep --strategy finetune,replay --tasks img_cap,aud_qa --tasks aud_qa,img_cap -o replay 32
  micl report $(micl sweep --strategy finetune,moincl --order order-1 --seed 0..2)

\b
The ids of finished runs are written to stdout in the grid's order (with --json, cells as JSON
lines). The same command again skips finished cells and continues with the others. It can be started
on several machines that share a store: each works on cells that no other works on.
The settings of [learn] in micl.toml also apply; [sweep] takes precedence.
Exit codes: 0 ok (busy cells are skipped), 1 a cell failed, 130 interrupted."""


class _Sweep(Command):
    """A command that inherits the values in configuration files for ``micl learn``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Use the defaults of ``micl learn`` unless the command has its own."""
        if not (ctx.resilient_parsing or {"-h", "--help"} & set(args)):
            of_learn = defaults(current_settings(ctx), learn, "learn", ctx)
            inherited = {name: value for name, value in of_learn.items() if name not in {*_NOT_SHARED, "options"}}
            ctx.default_map = {**inherited, **(ctx.default_map or {})}
        return super().parse_args(ctx, args)


@click.command(cls=_Sweep, epilog=EPILOG)
@click.option(
    "--strategy", cls=JoinedOption, shell_complete=complete_strategy_list, metavar="A,B[OPTION=VALUE,...]",
    help="The methods, optionally with their own options in brackets.",
)  # fmt: skip
@click.option(
    "--order", cls=JoinedOption, shell_complete=complete_orders, metavar="ORDER,...",
    help="Task orders: order-1, order-2 (MICL's), or a recipe by name or file, of which only the tasks are used.",
)  # fmt: skip
@click.option("--tasks", "tasks", multiple=True, shell_complete=complete_tasks, metavar="TASK,...",
              help="An additional order as a list of tasks; may be repeated.")  # fmt: skip
@click.option("--seed", cls=JoinedOption, default="0", metavar="SEEDS", help="Seeds: 0..2 (ends included), 0,3,7 or 5.")
@click.option(
    "--jobs",
    default=1,
    type=click.IntRange(1),
    help="Number of parallel runs, each in its own process; they share the CPU threads.",
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

    Each cell is an ordinary run: it is resumed, or skipped if it is finished. A cell that fails does not stop the
    others. Ctrl-C saves what is learnt. The processes share --threads.
    """
    from micl_cli.session import Session, configured_listeners
    from micl_cli.sweep.grid import grid, parse_seeds, parse_variants
    from micl_cli.sweep.scheduler import CellOptions

    trusted = allows_code(flags["trust_remote_code"], flags["backbone_options"])
    session = Session(current_settings(), progress=DownloadBars().update, trusted=trusted)
    seeds = parse_seeds(seed)
    variants = parse_variants(strategy or "")
    orders = _orders(order or "", tasks, flags["benchmark"], session.registry)
    shared = {name: flags.pop(name) for name in ("device", "threads", "save_seconds", "save_predictions", "listeners")}
    options = CellOptions(jobs=jobs, debug=output.debug, **shared)
    configured_listeners(options.listeners, session.settings, session.registry)  # reports invalid ones
    with quiet_libraries():
        requests = _requests(session, variants, flags)
        cells = grid(session, requests, orders, seeds, dry=dry_run, watch=preparing)
        if dry_run:
            _show_grid(session, cells, options, as_json)
        else:
            _run(session, cells, options, as_json)


def _run(session: Session, cells: Sequence[Cell], options: CellOptions, as_json: bool) -> None:
    """Learn the cells and show them. Raises Interrupted, or MiclError if a cell failed."""
    from micl_cli.cli.sweep_display import SweepDisplay
    from micl_cli.session.signals import stop_on_signal
    from micl_cli.sweep.scheduler import run_cells

    display = SweepDisplay(session, cells, as_json)
    with stop_on_signal(stopping_note) as stop:
        with closing(run_cells(session, cells, options, stop)) as messages, closing(display):
            for message in messages:
                display.consume(message)
        interrupted = stop()
    if options.save_predictions:
        _note_unstored_answers(session, [run for run, status in display.status.items() if status == "finished"])
    if interrupted:
        raise Interrupted("interrupted; what is learnt is saved", "Continue with the same command.")
    display.summarize()


def _note_unstored_answers(session: Session, runs: Sequence[str]) -> None:
    """Say which cells were scored without storing the answers, before this sweep."""
    with session.store_to_read() as store:
        unstored = [run for run in runs if any(store.without_predictions(run))]
    if unstored:
        text = "the answers of runs that were finished earlier are not stored"
        note(f"{text} ({', '.join(unstored)}); store them: micl eval RUN --save-predictions")


def _shared_options() -> list[click.Option]:
    """Return copies of the options of ``micl learn`` that apply to every cell."""
    options = [parameter for parameter in learn.params if isinstance(parameter, click.Option)]
    shared = [copy.copy(option) for option in options if option.expose_value and option.name not in _NOT_SHARED]
    for option in shared:
        option.envvar = None  # named after the command; it may already be that of learn
        if option.name == "options":
            option.help = "Set an option of all strategies that have it; 3:NAME sets it for the third task only."
    return shared


sweep.params += _shared_options()


def _orders(text: str, lists: Sequence[str], benchmark: str, registry: Registry) -> dict[str, tuple[str, ...]]:
    """Return the tasks of each order, by its label."""
    recipes = [(name, _order(name)) for name in (name.strip() for name in text.split(",")) if name]
    orders: dict[str, tuple[str, ...]] = {}
    for label, tasks in [*recipes, *((text, text) for text in lists)]:
        names = split_tasks(tasks, benchmark, registry)
        if duplicate := next((other for other in orders if orders[other] == names), None):
            raise UsageError(f"the orders {duplicate} and {label} are the same", "Leave one of them out.")
        orders[label] = names
    if not orders:
        raise UsageError("no order is named", "Name one: --order order-1, or --tasks img_cap,aud_qa")
    return orders


def _order(name: str) -> str:
    known = {recipe.removeprefix(_RECIPE_PREFIX) for recipe in recipe_names()}
    if not name.endswith(".toml") and name.removeprefix(_RECIPE_PREFIX) not in known:
        hint = nearest(name, known) or f"Known: {', '.join(sorted(known))}; or a recipe's .toml file; or use --tasks."
        raise UsageError(f"no order {name!r}", hint)
    recipe = read_recipe(name if name in recipe_names() or name.endswith(".toml") else _RECIPE_PREFIX + name)
    if not recipe.tasks:
        raise UsageError(f"recipe {name} has no tasks", "Name them with --tasks.")
    return recipe.tasks


def _requests(session: Session, variants: Sequence[Variant], flags: dict[str, Any]) -> list[tuple[str, Request]]:
    """Return a label and a request for each variant, without tasks."""
    from micl_cli.session import Request
    from micl_cli.sweep.grid import options_for

    settings = session.settings
    configured = {**settings.options("learn"), **settings.options("sweep")}
    source = click.get_current_context().get_parameter_source("options")
    given = {} if source is ParameterSource.DEFAULT_MAP else dict(flags["options"])
    training, evaluation = not_none(pop_settings(Training, flags)), not_none(pop_settings(Evaluation, flags))
    pairs = backbone_options(flags["quantize"], flags["backbone_options"])
    requests = []
    for variant, raw in zip(variants, options_for(variants, given, configured, session.registry), strict=True):
        options, stage_options = split_stage_options(raw)
        request = Request(
            strategy=variant.strategy,
            backbone=flags["backbone"],
            tasks=(),
            strategy_options=options,
            stage_options=stage_options,
            backbone_options=with_trust(pairs, flags["trust_remote_code"], flags["backbone"], session.registry),
            training=training,
            evaluation=evaluation,
        )
        requests.append((variant.label, request))
    return requests


def _show_grid(session: Session, cells: Sequence[Cell], options: CellOptions, as_json: bool) -> None:
    """Show the cells with their states and an estimate."""
    from micl_cli.sweep.grid import cell_estimates

    jobs = options.jobs
    estimates = list(cell_estimates(session, cells, options.device))
    times = [estimate.seconds for estimate in estimates if estimate.seconds is not None]
    total = sum(times) / min(jobs, len(estimates))
    if as_json:
        seconds = total if len(times) == len(estimates) else None
        echo_json({"cells": [estimate.as_json() for estimate in estimates], "jobs": jobs, "seconds": seconds})
        return
    rows = [
        [e.cell.plan.id, e.cell.strategy, e.cell.order, e.cell.seed, e.state, e.steps, _seconds(e.seconds)]
        for e in estimates
    ]
    echo(table(["run", "strategy", "order", "seed", "status", "steps", "seconds"], rows))
    echo()
    remaining = [estimate for estimate in estimates if estimate.state != "finished"]
    time = f"about {total:.0f} s of learning, {jobs} at a time"
    if unknown := len(estimates) - len(times):
        time += f", without {unknown} cells for which there is no earlier run as a basis"
    if unknown == len(remaining) > 0:
        time = "no time estimate: no earlier run of these strategies and this backbone"
    echo(f"{len(remaining)} of {len(estimates)} cells to learn: {time}" if remaining else "every cell is finished")


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
