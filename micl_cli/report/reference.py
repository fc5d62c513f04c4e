"""Reference runs of relative scores: joint learning, or single-task learning."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable
from micl_cli.report.methods import Runs, method_of, order_of, split, strategy_labels, task_set
from micl_cli.report.vectors import Entries, Vector, mean_vector

REFERENCES = ("joint", "single")
"""The strategies whose final scores other methods are related to. Their scores do not depend on the order of tasks."""


def is_reference(run: RunData) -> bool:
    """Return whether a run has a reference strategy, with or without the name of its distribution."""
    return strategy_name(run) in REFERENCES


def strategy_name(run: RunData) -> str:
    """Return the name of a run's strategy without its distribution."""
    return run.strategy.rpartition(":")[2]


def has_final_scores(run: RunData) -> bool:
    """Return whether all final scores of a run were measured, each task by a single rule."""
    return bool(run.tasks) and not run.mixed_rules and all(run.r[run.r.size, i] is not None for i in run.r.tasks)


@dataclass(frozen=True)
class Reference:
    """The reference runs of a report, all of ``strategy``. ``labels`` holds the labels of methods."""

    strategy: str
    runs: Runs
    labels: Mapping[Hashable, str]
    _found: dict[str, Mapping[Hashable, Runs]] = field(default_factory=dict)

    def runs_for(self, run: RunData) -> Runs:
        """Return the reference runs for ``run``: those of the first method of :meth:`candidates`."""
        return next(iter(self.candidates(run).values()), [])

    def candidates(self, run: RunData) -> Mapping[Hashable, Runs]:
        """Return the runs that are comparable with ``run``, of the same tasks and seed, by their method."""
        if run.id not in self._found:
            same_seed = [other for other in self.runs if other.seed == run.seed and task_set(other) == task_set(run)]
            self._found[run.id] = split([other for other in same_seed if comparable(run, other)], method_of)
        return self._found[run.id]

    def score(self, run: RunData, task: str, entries: Entries) -> Vector | None:
        """Return the final score of ``task`` of the reference for ``run``, or None.

        It is the mean over the orders of the reference's runs, and over attempts at each.
        """
        orders = split(self.runs_for(run), order_of).values()
        final = [
            mean_vector([entries(other, other.r.size, other.tasks.index(task) + 1) for other in attempts])
            for attempts in orders
        ]
        return mean_vector(final)

    def methods(self, runs: Runs) -> list[str]:
        """Return the labels of the methods that are the reference of ``runs``."""
        return self._labels([next(iter(found)) for run in runs if (found := self.candidates(run))])

    def unused(self, runs: Runs) -> list[str]:
        """Return the labels of the methods that could be the reference of one of ``runs``, but are of none."""
        used = self.methods(runs)
        return [label for label in self._labels([m for run in runs for m in self.candidates(run)]) if label not in used]

    def _labels(self, methods: Sequence[Hashable]) -> list[str]:
        return [self.labels[method] for method in dict.fromkeys(methods)]


def choose_reference(runs: Sequence[RunData], relative_to: str | None) -> Reference | None:
    """Return the reference of the given strategy (by default joint, else single), or None without scored runs of it."""
    labels = strategy_labels(runs)
    for strategy in (relative_to,) if relative_to else REFERENCES:
        members = [run for run in runs if strategy_name(run) == strategy and has_final_scores(run)]
        if members:
            return Reference(strategy, members, labels)
    return None
