"""Notices about what a user asked of a run that exists: a name, answers to store, listeners."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from micl_cli.api.task import Task
from micl_cli.plan import Plan
from micl_cli.store import RunRecord, Store


def rename(store: Store, plan: Plan, run: RunRecord | None) -> Iterator[str]:
    """Give an existing run the name in the plan, and yield notices about that, and about other runs of this name."""
    if not plan.name:
        return
    if run and run.name != plan.name:
        store.rename_run(run.id, plan.name)
        yield (
            f"the run was named {run.name!r} and is {plan.name!r} now"
            if run.name
            else f"the run is named {plan.name!r}"
        )
    if others := [other for other in store.named(plan.name) if other != plan.id]:
        yield f"{', '.join(others)} also has the name {plan.name!r}: use the ids to tell these runs apart"


def cite(store: Store, run: RunRecord | None, recipe: Mapping[str, str] | None) -> Iterator[str]:
    """Record the recipe of an existing run that has none recorded yet, and yield a notice about it."""
    if run and recipe and run.recipe is None:
        store.record_recipe(run.id, recipe)
        yield f"recorded recipe {recipe['name']} for this run, which has the same plan"


def unstored_answers(store: Store, run: RunRecord | None) -> Iterator[str]:
    """Yield a notice if answers that are to be stored were not when an existing run scored them."""
    stages = [str(stage) for stage in store.without_predictions(run.id) if stage] if run else []
    if run and stages:
        yield (
            f"the answers after stage {', '.join(stages)} were not stored when they were scored; "
            f"store them: micl eval {run.id} --stage {stages[-1]} --predictions all"
        )


def answers_over_limit(tasks: Sequence[Task], split: str, examples: int | None, limit: int | None) -> Iterator[str]:
    """Yield a notice for each task of which more than ``limit`` answers are scored, so that they are not stored."""
    for task in tasks:
        count = min(task.counts.get(split, 0), examples or sys.maxsize)
        if limit and count > limit:
            yield f"the {count} answers to {task.name} are more than {limit} and are not stored; see --predictions"


def unheard(listeners: bool) -> Iterator[str]:
    """Yield a notice if there are listeners, which get no events of a finished run."""
    if listeners:
        yield "listeners get no events of a run that is already finished"
