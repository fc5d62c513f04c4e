"""Values of figures for a run or a seed, relative to the reference or raw."""

from __future__ import annotations

from collections.abc import Mapping

from micl_cli.report.data import RunData
from micl_cli.report.selected import Cells, SelectedRuns
from micl_cli.report.statistics import Sample
from micl_cli.report.summary_figures import SummaryFigure
from micl_cli.report.vectors import Entries, ResampledEntries, Vector, mean_vector, observed, weighted

ZERO_REFERENCE = "the score of the reference is 0 on some resamples of the examples"


class Scorer:
    """Computes the figures of runs; with ``resampled``, also on resampled test examples (see ``resampling``)."""

    def __init__(self, selected: SelectedRuns, *, resampled: bool = False) -> None:
        self.reference = selected.reference
        self.resampling = ResampledEntries(selected.complete) if resampled else None
        self._entries: Entries = self.resampling or observed
        self._references: dict[tuple[str, str], Vector | None] = {}

    def vector(self, figure: SummaryFigure, run: RunData) -> Vector | None:
        """Return the figure of a run, or None if a score or reference that it needs is missing."""
        return weighted(figure.weights(run), lambda t, i: self._entry(figure, run, t, i))

    def value(self, figure: SummaryFigure, run: RunData) -> float | None:
        """Return the observed figure of a run, or None."""
        vector = self.vector(figure, run)
        return None if vector is None else float(vector[0])

    def sample(self, figure: SummaryFigure, seeds: Mapping[int, Cells]) -> Sample:
        """Return the figure by seed: the mean over orders of the mean over attempts. Seeds without it are left out."""
        vectors = {
            seed: mean_vector([mean_vector([self.vector(figure, run) for run in attempts]) for attempts in cells])
            for seed, cells in seeds.items()
        }
        return Sample({seed: vector for seed, vector in vectors.items() if vector is not None})

    def reference_score(self, run: RunData, task: str) -> Vector | None:
        """Return the reference's final score of a task, or None without a comparable reference run."""
        key = run.id, task
        if key not in self._references:
            self._references[key] = self.reference.score(run, task, self._entries) if self.reference else None
        return self._references[key]

    def _entry(self, figure: SummaryFigure, run: RunData, t: int, i: int) -> Vector | None:
        vector = self._entries(run, t, i)
        if vector is None or not figure.relative:
            return vector
        task = run.tasks[i - 1]
        reference = self.reference_score(run, task)
        if reference is None or reference[0] <= 0:
            return None
        if self.resampling and (reference <= 0).any():
            self.resampling.problems.setdefault((run.id, task), ZERO_REFERENCE)
        return _per_cent(vector, reference)


def _per_cent(vector: Vector, reference: Vector) -> Vector:
    """Return ``vector`` in per cent of ``reference``; not a number where that is not positive."""
    import numpy as np

    return 100 * vector / np.where(reference > 0, reference, np.nan)
