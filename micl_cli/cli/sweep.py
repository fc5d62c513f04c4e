"""``micl sweep``: learn a grid of strategies, orders and seeds, each cell an ordinary run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.cell_requests import CellCommand, cell_requests, shared_options
from micl_cli.cli.command import JoinedOption, ListsOption
from micl_cli.cli.completers import (
    complete_files,
    complete_orders,
    complete_recipe_sets,
    complete_strategy_list,
    complete_tasks,
)
from micl_cli.cli.console import echo, echo_json, note, output, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.learn_request import allows_code
from micl_cli.cli.predictions_options import max_answers
from micl_cli.cli.recipe import Recipe, checked_recipe, order_tasks, recipe_notes, recipe_set, recipe_use
from micl_cli.cli.run_file import FileCommand
from micl_cli.cli.saved_config import save_option
from micl_cli.cli.saved_grid import save_sweep_config
from micl_cli.cli.status import DownloadBars, preparing, quiet_libraries, stopping_note
from micl_cli.errors import Interrupted, UsageError
from micl_cli.plan import split_tasks

if TYPE_CHECKING:
    from micl_cli.registry import Registry
    from micl_cli.session import Session
    from micl_cli.settings import Settings
    from micl_cli.sweep.grid import Cell, Variant
    from micl_cli.sweep.scheduler import CellOptions


EPILOG = """\b
Examples:
  micl sweep --strategy finetune,lwf,ewc --order order-1,order-2 --seed 0..2
  micl sweep --strategy 'ewc[lambda_ewc=10],ewc[lambda_ewc=100]' --order order-1 --eval-split val
  micl sweep --strategy finetune,replay --tasks img_cap,aud_qa --tasks aud_qa,img_cap -o replay 32
  micl sweep --strategy ewc,moincl --recipe-set tuned --order order-1 --seed 0..2
  micl sweep grid.toml --jobs 2
  micl report $(micl sweep --strategy finetune,moincl --order order-1 --seed 0..2)

\b
The ids of finished runs are written to stdout in the grid's order (with --json, cells as JSON
lines). The same command again skips finished cells and continues with the others. It can be started
on several machines that share a store: each works on cells that no other works on.
The settings of [learn] in micl.toml also apply; [sweep] takes precedence.
Exit codes: 0 ok (busy cells are skipped), 1 a cell failed, 130 interrupted."""


class SweepCommand(CellCommand, FileCommand):
    """A command that learns cells, and takes its options from a run file, too."""


@click.command(cls=SweepCommand, epilog=EPILOG)
@click.argument("file", required=False, metavar="[FILE]", shell_complete=complete_files)
@click.option(
    "--strategy", cls=JoinedOption, shell_complete=complete_strategy_list, metavar="A,B[OPTION=VALUE,...]",
    help="The methods, optionally with their own options in brackets.",
)  # fmt: skip
@click.option(
    "--order", cls=JoinedOption, shell_complete=complete_orders, metavar="ORDER,...",
    help="Task orders: order-1, order-2 (MICL's), or a recipe by name or file, of which only the tasks are used.",
)  # fmt: skip
@click.option("--tasks", "tasks", cls=ListsOption, multiple=True, shell_complete=complete_tasks, metavar="TASK,...",
              help="An additional order as a list of tasks; may be repeated.")  # fmt: skip
@click.option("--seed", cls=JoinedOption, default="0", metavar="SEEDS", help="Seeds: 0..2 (ends included), 0,3,7 or 5.")
@click.option(
    "--recipe-set", "recipe_set_name", metavar="NAME", shell_complete=complete_recipe_sets,
    help="Use the recipe NAME-STRATEGY for each strategy, as written by `micl tune freeze`; flags override it.",
)  # fmt: skip
@click.option(
    "--allow-defaults", is_flag=True, help="With --recipe-set: use the defaults for strategies without a recipe.",
)  # fmt: skip
@click.option(
    "--jobs",
    default=1,
    type=click.IntRange(1),
    help="Number of parallel runs, each in its own process; they share the CPU threads.",
)
@save_option
@click.option("--dry-run", is_flag=True, help="Check and list the cells with an estimate; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write cells as JSON lines.")
def sweep(
    file: str | None,
    strategy: str | None,
    order: str | None,
    tasks: tuple[str, ...],
    seed: str,
    recipe_set_name: str | None,
    allow_defaults: bool,
    jobs: int,
    save_config: Path | None,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Learn every strategy on every order with every seed.

    FILE is a TOML file with these options; those of the command line override it.

    Each cell is an ordinary run: it is resumed, or skipped if it is finished. A cell that fails does not stop the
    others. Ctrl-C saves what is learnt. The processes share --threads.
    """
    from micl_cli.session import Session, configured_listeners
    from micl_cli.sweep.grid import grid, parse_seeds, parse_variants, sweep_name
    from micl_cli.sweep.scheduler import CellOptions

    trusted = allows_code(flags["trust_remote_code"], flags["backbone_options"])
    session = Session(current_settings(), progress=DownloadBars().update, trusted=trusted)
    seeds = parse_seeds(seed)
    variants = parse_variants(strategy or "")
    orders = _orders(order or "", tasks, flags["benchmark"], session)
    shared = {name: flags.pop(name) for name in ("device", "threads", "save_seconds", "listeners")}
    kept = max_answers(flags.pop("predictions"), flags.pop("save_predictions"))
    options = CellOptions(jobs=jobs, debug=output.debug, max_answers=kept, **shared)
    configured_listeners(options.listeners, session.settings, session.registry)  # reports invalid ones
    with quiet_libraries():
        recipes = _recipes(variants, recipe_set_name, allow_defaults, session.settings, session.registry)
        requests = cell_requests(session, variants, flags, "sweep", recipes)
        cells = grid(session, requests, orders, seeds, dry=dry_run, watch=preparing)
        if save_config:
            save_sweep_config(save_config, session, variants, cells, recipes)
        cells = [replace(cell, recipe=recipe_use(recipes.get(cell.strategy, Recipe()), cell.plan)) for cell in cells]
        for text in dict.fromkeys(t for c in cells for t in recipe_notes(recipes.get(c.strategy, Recipe()), c.plan)):
            note(f"note: {text}")
        options = replace(options, group=sweep_name(file, cells))
        if dry_run:
            _show_grid(session, cells, options, as_json)
        else:
            _run(session, cells, options, as_json)


def _run(session: Session, cells: Sequence[Cell], options: CellOptions, as_json: bool) -> None:
    """Learn the cells and show them. Raises Interrupted, or MiclError if a cell failed."""
    from micl_cli.cli.sweep_display import SweepDisplay
    from micl_cli.session.signals import stop_on_signal
    from micl_cli.store.writing import utc_now
    from micl_cli.sweep.record import record_sweep
    from micl_cli.sweep.scheduler import run_cells

    record_sweep(session.settings, cells, utc_now())
    display = SweepDisplay(session, cells, as_json)
    with stop_on_signal(stopping_note) as stop:
        with closing(run_cells(session, cells, options, stop)) as messages, closing(display):
            for message in messages:
                display.consume(message)
        interrupted = stop()
    if options.max_answers is None:
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
        note(f"{text} ({', '.join(unstored)}); store them: micl eval RUN --predictions all")


sweep.params += shared_options()


def _recipes(
    variants: Sequence[Variant], name: str | None, allow_defaults: bool, settings: Settings, registry: Registry
) -> dict[str, Recipe]:
    """Return the recipe of each strategy by label, with a note for strategies whose defaults are used.

    Raises UsageError for a strategy without a recipe unless ``allow_defaults``.
    """
    if name is None:
        return {}
    found = recipe_set(name, [variant.strategy for variant in variants], settings)
    if missing := [strategy for strategy, recipe in found.items() if recipe is None]:
        text = f"the recipe set {name} has no recipe for {', '.join(missing)}"
        if not allow_defaults:
            raise UsageError(text, "Tune it, leave it out, or use its defaults with --allow-defaults.")
        note(f"note: {text}: the defaults are used")
    given = {variant.label: recipe for variant in variants if (recipe := found[variant.strategy])}
    return {
        variant.label: checked_recipe(given[variant.label], variant.strategy, registry)
        for variant in variants
        if variant.label in given
    }


def _orders(text: str, lists: Sequence[str], benchmark: str, session: Session) -> dict[str, tuple[str, ...]]:
    """Return the tasks of each order, by its label."""
    named = (name.strip() for name in text.split(","))
    recipes = [(name, order_tasks(name, session.settings)) for name in named if name]
    orders: dict[str, tuple[str, ...]] = {}
    for label, tasks in [*recipes, *((text, text) for text in lists)]:
        names = split_tasks(tasks, benchmark, session.registry)
        if duplicate := next((other for other in orders if orders[other] == names), None):
            raise UsageError(f"the orders {duplicate} and {label} are the same", "Leave one of them out.")
        orders[label] = names
    if not orders:
        raise UsageError("no order is named", "Name one: --order order-1, or --tasks img_cap,aud_qa")
    return orders


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
