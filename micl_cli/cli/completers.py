"""Shell completion of arguments. A completer that fails returns no items and shows no error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from micl_cli.cli.console import escape
from micl_cli.cli.context import current_settings
from micl_cli.cli.pairs import complete_pair
from micl_cli.errors import MiclError, PluginError
from micl_cli.io.characters import has_control
from micl_cli.registry import KINDS, Registry

if TYPE_CHECKING:
    from micl_cli.api.options import Option

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
    return _last_of_list("strategies", incomplete)


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
    """Complete the last name of a comma-separated list of listeners."""
    return _last_of_list("listeners", incomplete)


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
    """Complete run ids, the latest first, ``@last``, and names without spaces."""
    from micl_cli.store import Store

    # Completion must neither create, upgrade nor copy a store, nor wait for a server.
    with Store.open_as_it_is(current_settings(ctx).store_url) as store:
        records = store.runs(limit=_RECENT_RUNS)
        runs = [(run.id, f"{run.name} {run.status}".strip()) for run in records]
        named = [(run.name, f"{run.id} {run.status}") for run in records if run.name and not _has_space(run.name)]
    offered = [("@last", "the latest run"), *runs, *dict(named).items()] if runs else []
    return [CompletionItem(name, help=text) for name, text in offered if name.startswith(incomplete)]


@_silent
def complete_tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the tags of runs."""
    from micl_cli.store import Store

    with Store.open_as_it_is(current_settings(ctx).store_url) as store:
        tags = {tag for run in store.runs() for tag in run.tags}
    return [CompletionItem(tag) for tag in sorted(tags) if tag.startswith(incomplete)]


@_silent
def complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of recipes, and files."""
    from micl_cli.cli.recipe import read_recipe, recipe_names

    settings = current_settings(ctx)
    items = []
    for name in recipe_names(settings):
        if name.startswith(incomplete):
            with suppress(MiclError):  # a recipe that cannot be read is reported when it is used
                items.append(CompletionItem(name, help=read_recipe(name, settings).summary or None))
    return items or [CompletionItem(incomplete, type="file")]


@_silent
def complete_recipe_sets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the prefixes of recipes that are for one strategy each."""
    from micl_cli.cli.recipe import recipe_names

    strategies = [part.name for part in Registry.discover().parts("strategies")]
    names = recipe_names(current_settings(ctx))
    sets = {name.removesuffix(f"-{each}") for name in names for each in strategies if name.endswith(f"-{each}")}
    return [CompletionItem(name) for name in sorted(sets) if name.startswith(incomplete)]


@_silent
def complete_studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of studies."""
    from micl_cli.tune.storage import TuneStorage

    storage = TuneStorage.open_existing(current_settings(ctx), ctx.params.get("storage") or "")
    names = storage.names() if storage else ()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@_silent
def complete_presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of presets that can be downloaded."""
    from micl_cli.cli.backbones import fetchable_presets

    names = fetchable_presets(current_settings(ctx).home)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@_silent
def complete_benchmarks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of benchmarks: those of tasks, of readers, and of prepared tasks."""
    registry = Registry.discover()
    names = {part.name.partition("/")[0] for kind in ("tasks", "readers") for part in registry.parts(kind)}
    names |= {name.partition("/")[0] for name in _prepared(ctx)}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


@_silent
def complete_strategy_options(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the options of the strategies named by ``--strategy`` or the recipe, or of all, and their values."""
    return complete_pair(ctx, param, incomplete, lambda: _options("strategies", _chosen_strategies(ctx)))


@_silent
def complete_backbone_options(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the options of the backbone named by ``--backbone``, and their values."""
    return complete_pair(ctx, param, incomplete, lambda: _options("backbones", [_chosen_backbone(ctx)]))


@_silent
def complete_format_options(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the options of the format named by ``--format``, or of all formats, and their values."""
    chosen = ctx.params.get("format_name")
    names = [part.name for part in Registry.discover().parts("formats") if chosen in (None, part.name)]
    return complete_pair(ctx, param, incomplete, lambda: _options("formats", names))


def _chosen_strategies(ctx: click.Context) -> list[str]:
    """Return the strategies that a command names, or all if it names none."""
    from micl_cli.cli.recipe import read_recipe

    text = str(ctx.params.get("strategy") or "")
    if not text and (recipe := ctx.params.get("recipe")):
        with suppress(MiclError):
            text = read_recipe(recipe, current_settings(ctx)).strategy
    names = [name.partition("[")[0].strip() for name in text.split(",")]
    known = [part.name for part in Registry.discover().parts("strategies") if part.state == "ok"]
    return [name for name in names if name in known] or known


def _chosen_backbone(ctx: click.Context) -> str:
    from micl_cli.plan import BackboneName

    return BackboneName.parse(str(ctx.params.get("backbone") or "tiny"), Registry.discover()).name


def _options(kind: str, names: Iterable[str]) -> dict[str, Option]:
    """Return the options of plugins by name; broken plugins are skipped."""
    from micl_cli.api.options import options_of

    registry, options = Registry.discover(), dict[str, Any]()
    for name in names:
        with suppress(PluginError):
            options |= options_of(registry.load(kind, name))
    return options


def _has_space(text: str) -> bool:
    return any(map(str.isspace, text))


def complete_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of files."""
    return [CompletionItem(incomplete, type="file")]


def _parts(kind: str, incomplete: str) -> list[CompletionItem]:
    parts = Registry.discover().parts(kind)
    names = ((part.qualified if part.state == "ambiguous" else part.name, part.summary) for part in parts)
    return [CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)]


def _last_of_list(kind: str, incomplete: str) -> list[CompletionItem]:
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + item.value, help=item.help) for item in _parts(kind, last)]


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
