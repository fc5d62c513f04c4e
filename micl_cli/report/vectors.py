"""Entries of R as vectors: the observed score, followed by the scores on resampled test examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from micl_cli.report.data import RunData

RESAMPLES = 2000
TOLERANCE = 1e-6
"""The relative difference between a score and the mean over its examples up to which it counts as rounding."""
NOT_STORED = "the scores of the examples are not stored"
_BATCH = 250
_RANDOM_SEED = 20240613

Vector = NDArray[np.float64]
Entries = Callable[[RunData, int, int], Vector | None]
"""Returns the vector of R[t][i] of a run, or None if it was not measured."""
Weights = Mapping[tuple[int, int], float]
"""A figure as a weighted sum of entries (t, i) of R; empty if the figure is undefined."""


def observed(run: RunData, t: int, i: int) -> Vector | None:
    """Return the score alone."""
    value = run.r[t, i]
    return None if value is None else np.array([value])


def weighted(weights: Weights, entry: Callable[[int, int], Vector | None]) -> Vector | None:
    """Return the weighted sum of entries, or None if one of them is missing or there are none."""
    terms = [(weight, entry(t, i)) for (t, i), weight in weights.items()]
    vectors = [weight * vector for weight, vector in terms if vector is not None]
    return sum_of(vectors) if vectors and len(vectors) == len(terms) else None


def sum_of(vectors: Sequence[Vector]) -> Vector:
    """Return the sum of one or more vectors."""
    total: Vector = np.sum(np.stack(vectors), axis=0)
    return total


def mean_vector(vectors: Sequence[Vector | None]) -> Vector | None:
    """Return the mean of vectors, or None if one of them is missing or there are none."""
    measured = [vector for vector in vectors if vector is not None]
    return sum_of(measured) / len(measured) if measured and len(measured) == len(vectors) else None


class ResampledEntries:
    """Entries of R with the scores on resampled test examples.

    In each resample, the same examples of a task are drawn for all runs, stages and seeds, since all of them are scored
    on the same test set. ``problems`` holds, by run and task, why the examples of a score cannot be resampled; the
    resampled entries of its vector are NaN.
    """

    def __init__(self, runs: Sequence[RunData]) -> None:
        self.problems: dict[tuple[str, str], str] = {}
        self._vectors: dict[tuple[str, int, str], Vector] = {}
        for task in dict.fromkeys(task for run in runs for task in run.tasks):
            scores = dict(self._example_scores(runs, task))
            if scores:
                columns = np.stack(list(scores.values()), axis=1)
                self._vectors |= dict(zip(scores, _means_of_resamples(columns).T, strict=True))

    def __call__(self, run: RunData, t: int, i: int) -> Vector | None:
        """Return the vector of R[t][i] of a run, or None if it was not measured."""
        value = run.r[t, i]
        if value is None:
            return None
        resampled = self._vectors.get((run.id, t, run.tasks[i - 1]), np.full(RESAMPLES, np.nan))
        return np.concatenate([[value], resampled])

    def _example_scores(self, runs: Sequence[RunData], task: str) -> Iterator[tuple[tuple[str, int, str], Vector]]:
        """Yield the scores of the examples of a task for each entry of R, all in the same order of examples."""
        order: list[str] | None = None
        for run in (run for run in runs if task in run.tasks):
            i = run.tasks.index(task) + 1
            for t in run.r.tasks:
                value, scores = run.r[t, i], (run.examples or {}).get((t, task), {})
                if value is None:
                    continue
                problem = _problem(value, scores, order)
                if problem:
                    self.problems.setdefault((run.id, task), problem)
                    continue
                order = order or sorted(scores)
                yield (run.id, t, task), np.array([scores[example] for example in order], dtype=np.float64)


def _problem(value: float, scores: Mapping[str, float | None], order: Sequence[str] | None) -> str:
    """Return why the examples of a score cannot be resampled, or an empty string."""
    values = [score for score in scores.values() if score is not None]
    if not scores or len(values) < len(scores):
        return NOT_STORED
    if abs(sum(values) / len(values) - value) > TOLERANCE * max(1.0, abs(value)):
        return "the score is not the mean over examples"
    if order is not None and sorted(scores) != list(order):
        return "other runs were scored on other examples"
    return ""


def _means_of_resamples(columns: Vector) -> Vector:
    """Return the means of the columns over RESAMPLES draws of as many rows, with replacement."""
    examples = len(columns)
    generator = np.random.default_rng(_RANDOM_SEED)
    chances = np.full(examples, 1 / examples)
    batches = []
    for start in range(0, RESAMPLES, _BATCH):
        counts = generator.multinomial(examples, chances, size=min(_BATCH, RESAMPLES - start))
        batches.append(counts @ columns / examples)
    return np.concatenate(batches)
