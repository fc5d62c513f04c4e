"""What the shell offers for an argument. A completion that fails offers nothing and says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps

import click
from click.shell_completion import CompletionItem

from micl_cli.registry import KINDS, Registry
from micl_cli.settings import load_settings

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_LAST_RUNS = 50
_SQLITE = "sqlite:///"


def _silent(completer: Completer) -> Completer:
    """A traceback in the middle of a command line helps nobody."""

    @wraps(completer)
    def guarded(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return completer(ctx, param, incomplete)
        except Exception:
            return []

    return guarded


@_silent
def complete_kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of plugins: strategy, task, ..."""
    return [CompletionItem(name) for name, _ in KINDS.values() if name.startswith(incomplete)]


@_silent
def complete_parts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the kind that the argument ``kind`` before it says."""
    return _parts(ctx.params["kind"], incomplete)


@_silent
def complete_strategies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of strategies."""
    return _parts("strategies", incomplete)


@_silent
def complete_strategy_list(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of strategies, of a list with commas the last one."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + item.value, help=item.help) for item in _parts("strategies", last)]


@_silent
def complete_orders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """MICL's orders, of a list with commas the last one."""
    from micl_cli.cli.recipe import recipe_names

    before, comma, last = incomplete.rpartition(",")
    known = [name.removeprefix("micl-") for name in recipe_names()]
    return [CompletionItem(before + comma + name) for name in known if name.startswith(last)]


@_silent
def complete_backbones(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of backbones."""
    return _parts("backbones", incomplete)


@_silent
def complete_tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of tasks, of a list with commas the last one: full ones, and bare ones of ``--benchmark``."""
    before, comma, last = incomplete.rpartition(",")
    chosen = set(before.split(","))
    benchmark = f"{ctx.params.get('benchmark') or 'mini'}/"
    known = {part.name: part.summary for part in Registry.discover().parts("tasks")}
    known |= {name: "prepared" for name in _prepared() if name not in known}
    bare = {name.removeprefix(benchmark): text for name, text in known.items() if name.startswith(benchmark)}
    offered = {**bare, **known} if "/" in last else {**known, **bare}
    return [
        CompletionItem(before + comma + name, help=text)
        for name, text in sorted(offered.items())
        if name.startswith(last) and name not in chosen
    ]


@_silent
def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Run ids, the latest first, and ``@last``."""
    from micl_cli.store import Store

    url = load_settings().store_url
    # Pressing Tab must neither create a store nor wait for a server.
    if not url.startswith(_SQLITE) or not _exists(url.removeprefix(_SQLITE)):
        return []
    with Store.open(url) as store:
        found = [(run.id, f"{run.name} {run.status}".strip()) for run in store.runs(limit=_LAST_RUNS)]
    offered = [("@last", "the latest run"), *found] if found else []
    return [CompletionItem(name, help=text) for name, text in offered if name.startswith(incomplete)]


def _parts(kind: str, incomplete: str) -> list[CompletionItem]:
    parts = Registry.discover().parts(kind)
    names = ((part.qualified if part.state == "ambiguous" else part.name, part.summary) for part in parts)
    return [CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)]


def _prepared() -> Iterable[str]:
    folder = load_settings().tasks
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/task.toml"))


def _exists(path: str) -> bool:
    from pathlib import Path

    return Path(path).is_file()
