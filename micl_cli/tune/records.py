"""Records of studies and trials, as optuna's storage keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, sqrt
from typing import Any, Literal

from micl_cli.plan import Plan
from micl_cli.store.validation import is_run_id, plan_problem
from micl_cli.tune.space import Dimension

Objective = Literal["final", "stages"]
OBJECTIVES: Mapping[str, str] = {
    "final": "mean over tasks of the final score",
    "stages": "mean over stages of the mean score of the tasks learnt so far",
}
"""Descriptions of the objectives by name. Scores are shares of the highest possible score of the metric."""
SPLIT = "val"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_HINT = "Use at most 64 letters, digits, dots, _ and -, starting with a letter or digit."


def is_study_name(text: str) -> bool:
    """Return whether ``text`` can be the name of a study, and of the files of its recipes."""
    return bool(_NAME.fullmatch(text))


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """The definition of a study for one strategy. It never changes, so that its trials are comparable.

    ``plan`` is the plan of the first trial, with the defaults and the first seed. ``given_tasks`` is the text of
    ``--tasks``, ``reserved`` the tasks of ``--for``, and ``training`` the settings of training that the user gave.
    """

    name: str
    plan: Mapping[str, Any]
    seeds: tuple[int, ...]
    objective: str
    space: tuple[Dimension, ...]
    given_tasks: str
    reserved: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""

    def __post_init__(self) -> None:
        if not is_study_name(self.name):
            raise ValueError(f"its name {self.name!r} is not valid")
        if problem := plan_problem(self.plan):
            raise ValueError(problem)
        if self.objective not in OBJECTIVES:
            raise ValueError(f"its objective {self.objective!r} is not known")
        if not self.seeds or not self.space:
            raise ValueError("it has no seeds, or no space")

    @property
    def base(self) -> Plan:
        """The plan of the first trial and seed."""
        return Plan.from_json(self.plan)

    @property
    def strategy(self) -> str:
        """The name of the tuned strategy."""
        return str(self.plan["strategy"])

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are learnt in each trial."""
        return tuple(self.plan["tasks"])


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial: the value of each tuned option, and the id and objective of its run for each seed.

    ``values`` holds the options by name, ``runs`` and ``objectives`` are by seed. A trial with an ``error`` has failed.
    """

    number: int
    values: Mapping[str, Any]
    runs: Mapping[str, str] = field(default_factory=dict)
    objectives: Mapping[str, float | None] = field(default_factory=dict)
    error: str = ""
    ended: str = ""

    def __post_init__(self) -> None:
        if self.number < 0 or not all(map(is_run_id, self.runs.values())):
            raise ValueError(f"trial {self.number} has an invalid number or run")
        if not all(value is None or isfinite(value) for value in self.objectives.values()):
            raise ValueError(f"trial {self.number} has an objective that is not finite")

    @property
    def state(self) -> str:
        """ "finished", "failed", or "open" if it has not ended yet."""
        return "failed" if self.error else "finished" if self.ended else "open"

    @property
    def value(self) -> float | None:
        """The mean of the objective over the seeds, or None unless the trial is finished."""
        measured = [value for value in self.objectives.values() if value is not None]
        complete = self.state == "finished" and measured and len(measured) == len(self.objectives)
        return sum(measured) / len(measured) if complete else None

    @property
    def spread(self) -> float | None:
        """The standard deviation of the objective over the seeds, or None for a single seed."""
        mean, values = self.value, [value for value in self.objectives.values() if value is not None]
        if mean is None or len(values) < 2:
            return None
        return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


@dataclass(frozen=True, kw_only=True)
class StudyState:
    """A study for one strategy, with its trials by number: those that have ended, and those that are ``open``."""

    study: StudyRecord
    trials: tuple[TrialRecord, ...] = ()
    open: tuple[TrialRecord, ...] = ()

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the highest value, the earliest of equals; None if none has finished."""
        finished = [(trial.value, -trial.number, trial) for trial in self.trials if trial.value is not None]
        return max(finished)[2] if finished else None

    @property
    def edges(self) -> dict[str, str]:
        """The edge of the space ("lower" or "upper") where the best value is, for each option at an edge."""
        best = self.best
        values = best.values if best else {}
        edges = {d.name: d.edge(values[d.name]) for d in self.study.space if d.name in values}
        return {name: edge for name, edge in edges.items() if edge}


def edge_notes(state: StudyState) -> list[str]:
    """Return a sentence for each option whose best value is at an edge of its space."""
    best, spaces = state.best, {dimension.name: dimension for dimension in state.study.space}
    return [
        f"{state.study.strategy}: the best {name}, {best.values[name]:g}, is at the {edge} edge of its space "
        f"{spaces[name]}: a {'higher' if edge == 'upper' else 'lower'} one may be better; widen it with --space"
        for name, edge in (state.edges if best else {}).items()
        if best
    ]


def unequal_trials(states: Sequence[StudyState]) -> bool:
    """Return whether strategies of a study differ in their number of trials, or have trials that have not ended."""
    return len({len(state.trials) for state in states}) > 1 or any(state.open for state in states)
