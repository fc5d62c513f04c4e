"""Methods and task orders of runs: which runs are averaged, and how methods are labelled."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from micl_cli.report.data import RunData
from micl_cli.report.differences import conditions

MAX_LABEL = 48
MAX_VALUE = 20

Runs = Sequence[RunData]
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Order:
    """The full names of tasks in order, and their data as pairs of name and sha256."""

    tasks: tuple[str, ...]
    data: frozenset[tuple[str, str]]


def split(runs: Runs, key: Callable[[RunData], _Key]) -> dict[_Key, list[RunData]]:
    """Group runs by key, in order of appearance."""
    members: dict[_Key, list[RunData]] = {}
    for run in runs:
        members.setdefault(key(run), []).append(run)
    return members


def strategy_labels(runs: Runs) -> dict[Hashable, str]:
    """Return a label for each method: the name of its strategy, with the settings in which methods of one name differ.

    If these labels would be too long, they are numbered instead. Keys are :func:`method_of` of a run.
    """
    labels: dict[Hashable, str] = {}
    for name, namesakes in split(runs, lambda run: run.strategy).items():
        methods = [members[0] for members in split(namesakes, method_of).values()]
        labels.update(zip(map(method_of, methods), _labels(name, methods), strict=True))
    return labels


def method_of(run: RunData) -> Hashable:
    """Return a key that is equal for runs that differ only in seed, attempt, name, tasks or task order.

    The version of micl and the number format are part of it.
    """
    return run.strategy, run.backbone, tuple(sorted(_settings(run).items()))


def order_of(run: RunData) -> Order:
    """Return the task order of a run."""
    return Order(tuple(run.tasks), frozenset(run.data.items()))


def task_set(run: RunData) -> Hashable:
    """Return a key that is equal for runs of the same tasks on the same data, in any order."""
    return frozenset(run.tasks), frozenset(run.data.items())


def orders_of(runs: Runs) -> list[Order]:
    """Return the distinct task orders in order of appearance. Equal tasks with different data are distinct orders."""
    return list(split(runs, order_of))


def _settings(run: RunData) -> dict[str, str]:
    """Return the settings of a run, with what else must be equal in runs that are averaged."""
    deciding = {name: value for name, value in conditions(run).items() if name.startswith("environment.")}
    return {**run.settings, **deciding}


def _labels(name: str, methods: Runs) -> list[str]:
    """Return a label for the strategy of each run, all of which have the same ``name``."""
    if len(methods) == 1:
        return [name]
    settings = [{"backbone": run.backbone, **_settings(run)} for run in methods]
    keys = [key for key in dict.fromkeys(key for each in settings for key in each) if _differs(key, settings)]
    labels = [f"{name} ({', '.join(f'{key}={_short(each.get(key))}' for key in keys)})" for each in settings]
    usable = len(set(labels)) == len(labels) and max(map(len, labels)) <= MAX_LABEL
    return labels if usable else [f"{name} ({number})" for number in range(1, len(methods) + 1)]


def _differs(key: str, settings: Sequence[Mapping[str, str]]) -> bool:
    return len({each.get(key) for each in settings}) > 1


def _short(value: str | None) -> str:
    """Return a value for a label. Long values, such as digests, are truncated."""
    return "none" if value is None else value if len(value) <= MAX_VALUE else value[:8]
