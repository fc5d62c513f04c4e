"""The summary of several runs: methods by figures, with intervals over seeds and paired comparisons."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Any

from micl_cli.report.comparisons import Comparison, Samples, compare
from micl_cli.report.differences import comparable
from micl_cli.report.methods import Order, Runs, legend, split, task_set
from micl_cli.report.noise import Noise, noise_of
from micl_cli.report.options import DEFAULT, IntervalMethod, ReportOptions
from micl_cli.report.relative import Scorer
from micl_cli.report.scales import mixed_scales, scales_by_metric
from micl_cli.report.selected import SelectedRuns, select_runs
from micl_cli.report.statistics import Mean, Sample, estimate, ranks
from micl_cli.report.summary_figures import (
    RAW,
    RELATIVE,
    RELATIVE_FINAL,
    SummaryFigure,
    final_figure,
    relative_figure,
    type_figures,
)
from micl_cli.report.summary_notes import notes_on


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of a summary: the runs of a method, with a sample and a mean for each figure.

    ``settings`` are those in which it differs from other methods of its strategy, by name. ``rank`` is the mean rank
    among the methods over tasks and common seeds, 1 for the best; None if there is only one method, or if the methods
    are not comparable or share no task order.
    """

    label: str
    settings: Mapping[str, str]
    runs: Runs
    seeds: Sequence[int]
    samples: Mapping[str, Sample]
    means: Mapping[str, Mean]
    rank: float | None = None

    @property
    def seconds(self) -> float | None:
        """The mean time of a run for learning and passes, in seconds; None if no stage was recorded."""
        costs = [run.cost for run in self.runs if run.stages]
        return fmean(c.before_seconds + c.seconds + c.after_seconds for c in costs) if costs else None

    @property
    def peak_bytes(self) -> int:
        """The largest peak memory of the runs, 0 if not known."""
        return max((run.cost.peak_bytes for run in self.runs), default=0)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "label": self.label,
            "strategy": self.runs[0].strategy if self.runs else "",
            "settings": dict(self.settings),
            "runs": [run.id for run in self.runs],
            "seeds": list(self.seeds),
            "rank": self.rank,
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "figures": {name: {**m.as_json(), "n": self.samples[name].n} for name, m in self.means.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The summary of runs of the same tasks on the same data, in any order.

    ``orders`` are those over which the figures of a seed are averaged; ``legend`` has the runs and settings of methods
    whose labels do not name all settings in which they differ; ``reference`` is the strategy to which scores are
    related, or None. ``headline`` holds the figures of the first table; raw figures over all tasks come last, and
    ``mixture`` marks them if they mix scales. ``notes`` say what is left out, and why.
    """

    tasks: Sequence[str]
    orders: Sequence[Order]
    legend: Sequence[str]
    reference: str | None
    interval: IntervalMethod
    margin: float | None
    methods: Sequence[Method]
    headline: Sequence[SummaryFigure]
    mixture: str
    comparisons: Sequence[Comparison]
    noise: Sequence[Noise]
    notes: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "tasks": list(self.tasks),
            "orders": [list(order.tasks) for order in self.orders],
            "legend": list(self.legend),
            "relative_to": self.reference,
            "interval": self.interval,
            "margin": self.margin,
            "mixed_scales": self.mixture,
            "methods": [method.as_json() for method in self.methods],
            "comparisons": [each.as_json() for each in self.comparisons],
            "noise": [each.as_json() for each in self.noise],
            "notes": list(self.notes),
        }


def summaries_of(runs: Runs, options: ReportOptions = DEFAULT) -> list[Summary]:
    """Return a summary for each set of tasks (on the same data), in order of appearance."""
    return [_summary(members, options) for members in split(runs, task_set).values()]


def _summary(runs: Runs, options: ReportOptions) -> Summary:
    selected = select_runs(runs, options)
    scorer = Scorer(selected, resampled=options.interval == "hierarchical")
    tasks = tuple(runs[0].tasks)
    of_types, type_notes = type_figures(selected.complete)
    headline = [*(RELATIVE if selected.reference else ()), *of_types]
    finals = [final_figure(task) for task in tasks]
    relative = [relative_figure(task) for task in tasks] if selected.reference else []
    shown = [*headline, *relative, *finals, *RAW]
    methods = [_method(key, selected, scorer, shown, options.interval) for key in selected.seeds]
    mixture = mixed_scales(scales_by_metric(selected.complete))
    compared = _compared(headline, mixture)
    return Summary(
        tasks=tasks,
        orders=selected.orders,
        legend=list(legend(runs, abridged_only=True)),
        reference=selected.reference.strategy if selected.reference else None,
        interval=options.interval,
        margin=options.margin,
        methods=_ranked(methods, finals) if selected.shared else methods,
        headline=headline,
        mixture=mixture,
        comparisons=compare(_comparable_pairs(selected, methods), compared, options),
        noise=_noise(selected, scorer, headline),
        notes=[*notes_on(selected, scorer, options), *type_notes],
    )


def _method(
    key: Hashable, selected: SelectedRuns, scorer: Scorer, figures: Sequence[SummaryFigure], interval: IntervalMethod
) -> Method:
    samples = {figure.name: scorer.sample(figure, selected.seeds[key]) for figure in figures}
    measured = {name: sample for name, sample in samples.items() if sample.n}
    return Method(
        label=selected.labels[key],
        settings=selected.settings[key],
        runs=selected.runs_of(key),
        seeds=list(selected.seeds[key]),
        samples=measured,
        means={name: estimate(sample, interval) for name, sample in measured.items()},
    )


def _compared(headline: Sequence[SummaryFigure], mixture: str) -> list[SummaryFigure]:
    """Return the figures to compare methods in: the relative final score, else raw figures, each on one scale."""
    if relative := [figure for figure in headline if figure.name == RELATIVE_FINAL]:
        return relative
    return list(headline) if mixture else [figure for figure in RAW if figure.name == "mfn"]


def _comparable_pairs(selected: SelectedRuns, methods: Sequence[Method]) -> list[tuple[Samples, Samples]]:
    """Return the labels and samples of each pair of comparable methods."""
    pairs = combinations(methods, 2) if selected.shared else ()
    return [((a.label, a.samples), (b.label, b.samples)) for a, b in pairs if _are_comparable(a, b)]


def _are_comparable(first: Method, second: Method) -> bool:
    return all(comparable(run, other) for run in first.runs for other in second.runs if run.seed == other.seed)


def _ranked(methods: Sequence[Method], finals: Sequence[SummaryFigure]) -> list[Method]:
    """Return the methods with their mean ranks over tasks and the seeds that all of them have."""
    if len(methods) < 2 or not all(_are_comparable(methods[0], other) for other in methods[1:]):
        return list(methods)
    cells = [
        ranks([float(method.samples[figure.name].vectors[seed][0]) for method in methods])
        for figure in finals
        for seed in methods[0].seeds
        if all(seed in method.seeds for method in methods)
    ]
    if not cells:
        return list(methods)
    return [replace(method, rank=fmean(each)) for method, each in zip(methods, zip(*cells, strict=True), strict=True)]


def _noise(selected: SelectedRuns, scorer: Scorer, figures: Sequence[SummaryFigure]) -> list[Noise]:
    values = {figure.name: partial(scorer.value, figure) for figure in figures}
    every = [noise_of(selected.labels[key], selected.runs_of(key), values) for key in selected.seeds]
    return [noise for noise in every if noise]
