"""Recipes of a study: the best options of each strategy, and a citation that says how they were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from micl_cli.errors import PlanError, StoreError
from micl_cli.io.json_text import json_text
from micl_cli.io.text import parse_toml
from micl_cli.io.toml_text import toml_text
from micl_cli.records import RunRecord
from micl_cli.session.session import Session
from micl_cli.tune.definition import check_together
from micl_cli.tune.records import OBJECTIVES, SPLIT, StudyState, TrialRecord, unequal_trials

_PROVENANCE = ("micl", "code", "commit", "torch", "transformers", "peft")
"""The entries of a run's environment that a citation names, if the run has them."""
_DIGITS = 6
_CITED = ("strategy", "options", "training")
"""The keys of a recipe whose values a study has found."""


def recipe_texts(session: Session, states: Sequence[StudyState], date: str) -> dict[str, str]:
    """Return the TOML text of a recipe for each strategy of a study.

    Raises PlanError unless all strategies have the same number of trials, and each has a finished one.
    """
    _check_complete(states)
    return {
        state.study.strategy: toml_text(_recipe(session, state, state.best, date)) for state in states if state.best
    }


def _check_complete(states: Sequence[StudyState]) -> None:
    name = states[0].study.name
    for state in states[1:]:
        check_together(states[0].study, state.study)
    if unequal_trials(states):
        counts = ", ".join(f"{state.study.strategy} {len(state.trials)}" for state in states)
        raise PlanError(
            f"study {name} is not complete: trials that have ended: {counts}",
            "Complete it: repeat its `micl tune` command with the same --trials for all strategies.",
        )
    if failed := [state.study.strategy for state in states if not state.best]:
        raise PlanError(f"no trial of {', '.join(failed)} has finished in study {name}", f"See: micl tune show {name}")


def _recipe(session: Session, state: StudyState, best: TrialRecord, date: str) -> dict[str, Any]:
    study, plan = state.study, state.study.base
    tuned = {dimension.name: best.values[dimension.name] for dimension in study.space}
    of_training = {dimension.name for dimension in study.space if dimension.training}
    effort = f"{len(state.trials)} trials x {len(study.seeds)} seeds"
    recipe = {
        "summary": f"{study.strategy} tuned on {study.given_tasks} ({effort}, {SPLIT})",
        "strategy": study.strategy,
        "options": {
            **plan.strategy_options,
            **{name: value for name, value in tuned.items() if name not in of_training},
            **plan.stage_options,
        },
        "training": {**study.training, **{name: value for name, value in tuned.items() if name in of_training}},
    }
    digest = settings_sha256(parse_toml(toml_text(recipe)))
    return {**recipe, "citation": {**_citation(session, state, best, date), "settings_sha256": digest}}


def settings_sha256(recipe: Mapping[str, Any]) -> str:
    """Return a digest of what a citation is about: strategy, options and training in the TOML table of a recipe.

    It tells whether they are still those that the study found, whatever else was edited in the file.
    """
    cited = {key: recipe[key] for key in _CITED if recipe.get(key)}
    return sha256(json_text(cited, sort_keys=True, default=str).encode()).hexdigest()


def _citation(session: Session, state: StudyState, best: TrialRecord, date: str) -> dict[str, Any]:
    study, defaults = state.study, state.trials[0].value
    citation = {
        "study": study.name,
        "task_set": study.given_tasks,
        "tasks": list(study.tasks),
        "split": SPLIT,
        "backbone": study.base.backbone,
        "trials": len(state.trials),
        "failed_trials": sum(trial.state == "failed" for trial in state.trials),
        "seeds": list(study.seeds),
        "objective": OBJECTIVES[study.objective],
        "value": _rounded(best.value),
        "spread": _rounded(best.spread),
        "value_of_defaults": _rounded(defaults),
        "trial": best.number,
        "runs": list(best.runs.values()),
        "reserved": list(study.reserved),
        "date": date,
        **_provenance(session, best.runs.values()),
        "space": {dimension.name: str(dimension) for dimension in study.space},
        "edges": state.edges,
        "data": dict(study.base.data),
    }
    return {name: value for name, value in citation.items() if value not in (None, [])}


def _provenance(session: Session, runs: Any) -> dict[str, str]:
    """Return the versions and the code of the runs of a trial, where they are recorded."""
    environments: list[Mapping[str, Any]] = [run.environment for each in runs if (run := _run(session, each))]
    found = {}
    for name in _PROVENANCE:
        values = list(dict.fromkeys(str(known[name]) for known in environments if known.get(name)))
        if values:
            found[name] = ", ".join(values)
    return found


def _run(session: Session, run: str) -> RunRecord | None:
    try:
        return session.details(run).run
    except StoreError:  # it was removed; the trial has its result
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
