"""The definition of a study, which is stored when it starts and compared when its command is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from micl_cli.api.task import Task
from micl_cli.errors import PlanError, UsageError
from micl_cli.io.json_text import json_text
from micl_cli.plan import Plan
from micl_cli.session.recorder import settings_of
from micl_cli.tune.records import SPLIT, StudyRecord, StudyState


def default_name(content: Mapping[str, Any]) -> str:
    """Return the name of a study that the user did not name; equal commands give equal names."""
    return f"tune-{sha256(json_text(content, sort_keys=True).encode()).hexdigest()[:8]}"


def check_tunable(tasks: Sequence[Task]) -> None:
    """Raise PlanError if a task has no validation examples, on which trials are scored."""
    for task in tasks:
        if not task.counts.get(SPLIT):
            raise PlanError(
                f"{task.name} has no validation examples to score trials on",
                "Prepare it with a validation split (micl prepare --val, or --split 80/10/10), or tune on other tasks.",
            )


def overlap(tuned: Mapping[str, str], reserved: Mapping[str, str]) -> list[str]:
    """Return a line for each tuned task that is reserved, by its name or by its data.

    Both mappings hold the sha256 of the data by task, empty if it is not known.
    """
    lines = []
    for task, digest in tuned.items():
        same = [name for name, other in reserved.items() if digest and other == digest]
        if task in reserved:
            lines.append(task)
        elif same:
            lines.append(f"{task} (the same data as {same[0]})")
    return lines


def begun(states: Sequence[StudyState], record: StudyRecord, trials: int) -> StudyState | None:
    """Return the study of a strategy among those of the same name, or None if it is new.

    Raises UsageError or PlanError if it was defined differently, or has more than ``trials`` trials, or if the name is
    that of a study whose strategies are tuned on other data or scored otherwise.
    """
    for other in states:
        check_together(other.study, record)
    own = next((state for state in states if state.study.strategy == record.strategy), None)
    if own:
        _check_same(own, record, trials)
    return own


def check_together(one: StudyRecord, other: StudyRecord) -> None:
    """Raise UsageError if the trials of two strategies cannot belong to one study."""
    if one.strategy != other.strategy and (apart := ", ".join(dict.fromkeys(_apart(one, other)))):
        raise UsageError(
            f"study {one.name!r} has {one.strategy} with other values of: {apart}",
            f"Tune {other.strategy} with the same, or in a study of its own, with --name.",
        )


def _apart(one: StudyRecord, other: StudyRecord) -> Iterator[str]:
    """Yield the names of what differs between two strategies and must be the same for all of a study.

    Options, training and space are those of each strategy.
    """
    yield from _shared_differences(one, other)
    shared = ("backbone.", "evaluation.")
    first, second = settings_of(one.base), settings_of(other.base)
    yield from sorted(
        name for name in {*first, *second} if name.startswith(shared) and first.get(name) != second.get(name)
    )
    yield from (
        f"the data of {task}" for task, digest in one.base.data.items() if other.base.data.get(task, digest) != digest
    )


def _shared_differences(one: StudyRecord, other: StudyRecord) -> Iterator[str]:
    if one.seeds != other.seeds:
        yield "--seed"
    if one.objective != other.objective:
        yield "--objective"
    for name in ("tasks", "backbone"):
        if getattr(one.base, name) != getattr(other.base, name):
            yield f"--{name}"


def _check_same(state: StudyState, record: StudyRecord, trials: int) -> None:
    """Raise UsageError or PlanError if a study was defined differently, or has more than ``trials`` trials."""
    former = state.study
    title = f"study {record.name!r} for {record.strategy}"
    if data := [task for task, digest in record.base.data.items() if former.base.data.get(task, digest) != digest]:
        hint = "Prepare it as it was, or start another study with --name."
        raise PlanError(f"the data of {', '.join(data)} has changed since {title} started", hint)
    if differing := ", ".join(dict.fromkeys(_differences(former, record))):
        hint = "Repeat the command of the study to continue it, or start another one with --name."
        raise UsageError(f"{title} was started with other values of: {differing}", hint)
    if len(state.trials) > trials:
        raise UsageError(
            f"{title} has {len(state.trials)} trials already, more than --trials {trials}",
            f"Give at least as many: --trials {len(state.trials)}",
        )


def _differences(former: StudyRecord, record: StudyRecord) -> Iterator[str]:
    """Yield the names of what differs between two definitions."""
    yield from _shared_differences(former, record)
    if asdict(former)["space"] != asdict(record)["space"]:
        yield "the space"
    if former.base.id != record.base.id:
        yield from _plan_differences(former.base, record.base)


def _plan_differences(former: Plan, plan: Plan) -> Iterator[str]:
    one, other = settings_of(former), settings_of(plan)
    yield from sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if one == other and (former.tasks, former.backbone, former.seed) == (plan.tasks, plan.backbone, plan.seed):
        yield "the files that options name"
