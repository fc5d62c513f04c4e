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


def check_same(state: StudyState, record: StudyRecord, trials: int) -> None:
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
    if former.seeds != record.seeds:
        yield "--seed"
    if former.objective != record.objective:
        yield "--objective"
    if asdict(former)["space"] != asdict(record)["space"]:
        yield "the space"
    if former.base.id != record.base.id:
        yield from _plan_differences(former.base, record.base)


def _plan_differences(former: Plan, plan: Plan) -> Iterator[str]:
    for name in ("tasks", "backbone"):
        if getattr(former, name) != getattr(plan, name):
            yield f"--{name}"
    one, other = settings_of(former), settings_of(plan)
    yield from sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if one == other and (former.tasks, former.backbone, former.seed) == (plan.tasks, plan.backbone, plan.seed):
        yield "the files that options name"
