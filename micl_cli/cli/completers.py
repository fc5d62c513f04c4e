"""Shell completion of arguments. A completer that fails returns no items and shows no error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps

import click
from click.shell_completion import CompletionItem

from micl_cli.cli.console import escape
from micl_cli.cli.context import current_settings
from micl_cli.errors import PluginError
from micl_cli.io.characters import has_control
from micl_cli.registry import KINDS, Registry

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_RECENT_RUNS = 50


def _silent(completer: Completer) -> Completer:
    """Return a completer for the shell's command line.

    It returns no items if this one fails, since a traceback would garble the line. Help texts are escaped, and items
    with control characters are left out.
    """

    @wraps(completer)
    def guarded(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            items = completer(ctx, param, incomplete)
            return [_shown(item) for item in items if not has_control(item.value)]
        except Exception:
            return []

    return guarded


def _shown(item: CompletionItem) -> CompletionItem:
    return CompletionItem(item.value, item.type, help=escape(item.help) if item.help else item.help)


@_silent
def complete_kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete plugin kinds ("strategy", "task", ...)."""
    return [CompletionItem(name) for name, _ in KINDS.values() if name.startswith(incomplete)]


@_silent
def complete_parts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of plugins of the kind in the preceding argument."""
    return _parts(ctx.params["kind"], incomplete)


@_silent
def complete_strategies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of strategies."""
    return _parts("strategies", incomplete)


@_silent
def complete_strategy_list(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a comma-separated list of strategies."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + item.value, help=item.help) for item in _parts("strategies", last)]


@_silent
def complete_orders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a comma-separated list of MICL's orders: the recipes with tasks."""
    from micl_cli.cli.recipe import read_recipe, recipe_names

    before, comma, last = incomplete.rpartition(",")
    known = [name.removeprefix("micl-") for name in recipe_names() if read_recipe(name).tasks]
    return [CompletionItem(before + comma + name) for name in known if name.startswith(last)]


@_silent
def complete_backbones(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of backbones."""
    return _parts("backbones", incomplete)


@_silent
def complete_metrics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of metrics."""
    return _parts("metrics", incomplete)


@_silent
def complete_listeners(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of listeners."""
    return _parts("listeners", incomplete)


@_silent
def complete_tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a comma-separated list of tasks; those of ``--benchmark`` also without its name."""
    before, comma, last = incomplete.rpartition(",")
    chosen = set(before.split(","))
    benchmark = f"{ctx.params.get('benchmark') or 'mini'}/"
    registry = Registry.discover()
    known = {part.name: part.summary for part in registry.parts("tasks")} | _published(registry)
    known |= {name: "prepared" for name in _prepared(ctx) if name not in known}
    bare = {name.removeprefix(benchmark): text for name, text in known.items() if name.startswith(benchmark)}
    offered = {**bare, **known} if "/" in last else {**known, **bare}
    return [
        CompletionItem(before + comma + name, help=text)
        for name, text in sorted(offered.items())
        if name.startswith(last) and name not in chosen
    ]


@_silent
def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete run ids, the latest first, and ``@last``."""
    from micl_cli.store import Store

    # Completion must neither create, upgrade nor copy a store, nor wait for a server.
    with Store.open_as_it_is(current_settings(ctx).store_url) as store:
        runs = [(run.id, f"{run.name} {run.status}".strip()) for run in store.runs(limit=_RECENT_RUNS)]
    offered = [("@last", "the latest run"), *runs] if runs else []
    return [CompletionItem(name, help=text) for name, text in offered if name.startswith(incomplete)]


def complete_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of files."""
    return [CompletionItem(incomplete, type="file")]


def _parts(kind: str, incomplete: str) -> list[CompletionItem]:
    parts = Registry.discover().parts(kind)
    names = ((part.qualified if part.state == "ambiguous" else part.name, part.summary) for part in parts)
    return [CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)]


def _published(registry: Registry) -> dict[str, str]:
    """Return the tasks of published benchmarks with their descriptions, and the benchmarks, which stand for all."""
    names: dict[str, str] = {}
    for part in registry.parts("readers"):
        with suppress(PluginError):  # `micl plugins` reports it
            tasks = registry.load("readers", part.name).tasks
            names |= {
                part.name: part.summary,
                **{f"{part.name}/{name}": task.description for name, task in tasks.items()},
            }
    return names


def _prepared(ctx: click.Context) -> Iterable[str]:
    folder = current_settings(ctx).tasks
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/task.toml"))
