"""Checks of a task's description against the names that installed plugins provide."""

from __future__ import annotations

from pathlib import Path

from micl_cli.api.task import CAPTIONING, CHOICE, QA
from micl_cli.data.description import OWN, Description
from micl_cli.errors import ManifestError, PluginError, nearest
from micl_cli.registry import Registry

DEFAULT_METRICS = {CAPTIONING: "cider", QA: "accuracy", CHOICE: "accuracy"}
"""The metric of each task type with built-in behaviour, unless another is named."""


def check_names(description: Description, path: Path | str, registry: Registry) -> None:
    """Raise ManifestError for an unknown metric or task type, or for the benchmark of registered tasks.

    ``path`` is that of the ``task.toml`` that declares them, or a description of another origin.
    """
    _check_benchmark(description, path, registry)
    metrics = {part.name for part in registry.parts("metrics")}
    if description.metric not in metrics:
        hint = f"{nearest(description.metric, metrics)} Installed metrics: {', '.join(sorted(metrics))}.".strip()
        raise ManifestError(f"{path}: unknown metric {description.metric!r}", hint)
    if description.type in (CAPTIONING, QA, CHOICE):
        return
    types = known_types(registry)
    if description.type not in types:
        hint = f"{nearest(description.type, types)} Known types: {', '.join(sorted(types))}.".strip()
        own = "A plugin can declare another in task_types of a metric, or as type of a task."
        raise ManifestError(f"{path}: unknown type {description.type!r}", f"{hint} {own}")


def known_types(registry: Registry) -> frozenset[str]:
    """Return the task types with built-in behaviour, and those that registered metrics and tasks declare."""
    types = {CAPTIONING, QA, CHOICE}
    for part in (*registry.parts("metrics"), *registry.parts("tasks")):
        try:
            cls = registry.load(part.kind, part.name)
        except PluginError:
            continue  # `micl plugins` reports it
        types |= cls.task_types if part.kind == "metrics" else {cls.type}
    return frozenset(types)


def _check_benchmark(description: Description, path: Path | str, registry: Registry) -> None:
    registered = {part.name: part.distribution for part in registry.parts("tasks")}
    owners = {name.partition("/")[0]: owner for name, owner in registered.items()}
    owners |= {part.name: part.distribution for part in registry.parts("readers")}
    benchmark = description.benchmark
    if description.full_name in registered or (benchmark in owners and benchmark != OWN):
        what = f"benchmark {benchmark!r} is that of registered tasks of {owners[benchmark]}"
        raise ManifestError(f"{path}: {what}", f'Choose another name, or leave benchmark out for "{OWN}".')
