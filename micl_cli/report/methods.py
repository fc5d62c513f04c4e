"""Methods and task orders of runs: which runs are averaged, and how methods are labelled."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeVar

from micl_cli.report.data import RunData
from micl_cli.report.differences import conditions

MAX_LABEL = 48
MAX_VALUE = 20
MAX_NAMED = 2
"""The largest number of settings in a label that does not have all in which methods differ."""

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


@dataclass(frozen=True)
class MethodLabel:
    """The label of a method, and the ``settings`` by name in which it differs from others of its strategy.

    ``complete`` says whether the text names all of them.
    """

    text: str
    settings: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True


def strategy_labels(runs: Runs) -> dict[Hashable, str]:
    """Return the text of the label of each method. Keys are :func:`method_of` of a run."""
    return {method: label.text for method, label in method_labels(runs).items()}


def method_labels(runs: Runs) -> dict[Hashable, MethodLabel]:
    """Return a label for each method: the name of its strategy, with the settings in which methods of one name differ.

    Where all of them would be too long, the label has the fewest settings, in their order, that distinguish the
    methods. Where these are too long as well, the labels are numbered. Keys are :func:`method_of` of a run.
    """
    labels: dict[Hashable, MethodLabel] = {}
    for name, namesakes in split(runs, lambda run: run.strategy).items():
        methods = [members[0] for members in split(namesakes, method_of).values()]
        labels.update(zip(map(method_of, methods), _labels(name, methods), strict=True))
    return labels


def legend(runs: Runs, *, abridged_only: bool = False) -> Iterator[str]:
    """Yield the runs and settings of each method whose label is not the plain name of its strategy.

    With ``abridged_only``, leave out methods whose label names all settings in which they differ.
    """
    labels = method_labels(runs)
    for method, members in split(runs, method_of).items():
        label = labels[method]
        if label.settings and not (label.complete and abridged_only):
            named = "" if label.complete else f"; {_listed(label.settings)}"
            yield f"{label.text}: {'run' if len(members) == 1 else 'runs'} {', '.join(r.id for r in members)}{named}."


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


def _labels(name: str, methods: Runs) -> list[MethodLabel]:
    """Return a label for the strategy of each run, all of which have the same ``name``."""
    if len(methods) == 1:
        return [MethodLabel(name)]
    settings = [{"backbone": run.backbone, **_settings(run)} for run in methods]
    keys = [key for key in dict.fromkeys(key for each in settings for key in each) if _differs(key, settings)]
    differing = [{key: _value(each.get(key)) for key in keys} for each in settings]
    chosen = _distinguishing(keys, differing)
    for shown in (keys, chosen):
        texts = [f"{name} ({', '.join(f'{key}={_short(each[key])}' for key in shown)})" for each in differing]
        if len(set(texts)) == len(texts) and max(map(len, texts)) <= MAX_LABEL:
            break
    else:
        shown, texts = [], [f"{name} ({number})" for number in range(1, len(methods) + 1)]
    complete = len(shown) == len(keys)
    return [MethodLabel(text, each, complete) for text, each in zip(texts, differing, strict=True)]


def _distinguishing(keys: Sequence[str], settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the fewest keys, the first ones of these, by whose values all settings differ; at most MAX_NAMED."""
    for count in range(1, min(len(keys), MAX_NAMED + 1)):
        for chosen in combinations(keys, count):
            if len({tuple(_short(each[key]) for key in chosen) for each in settings}) == len(settings):
                return list(chosen)
    return list(keys)


def _listed(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _differs(key: str, settings: Sequence[Mapping[str, str]]) -> bool:
    return len({each.get(key) for each in settings}) > 1


def _value(value: str | None) -> str:
    return "none" if value in (None, "null") else f"{value}"


def _short(value: str) -> str:
    """Return a value for a label. Long values, such as digests, are truncated."""
    return value if len(value) <= MAX_VALUE else value[:8]
