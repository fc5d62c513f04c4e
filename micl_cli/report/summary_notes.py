"""Notes on a summary: what is left out, and why some of its rows may not be comparable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

from micl_cli.plan import Evaluation, Training, declared_settings
from micl_cli.report.code import code_notes, code_of
from micl_cli.report.data import THEN, RunData
from micl_cli.report.facts import DIGEST, recipe_text
from micl_cli.report.methods import Order, method_of, order_of, split
from micl_cli.report.options import ReportOptions
from micl_cli.report.reference import REFERENCES
from micl_cli.report.relative import Scorer
from micl_cli.report.selected import SelectedRuns
from micl_cli.report.statistics import ENOUGH_SEEDS, FEWEST_VALUES
from micl_cli.report.vectors import NOT_STORED


def notes_on(selected: SelectedRuns, scorer: Scorer, options: ReportOptions) -> Iterator[str]:
    """Yield the notes on the summary of the selected runs."""
    yield from _unfinished(selected)
    yield from _orders(selected)
    yield from _reference(selected, scorer, options)
    yield from _interval(selected, scorer, options)
    yield from _code(selected)
    yield from _recipes(selected)


def _unfinished(selected: SelectedRuns) -> Iterator[str]:
    if ids := [run.id for run in selected.runs if run not in selected.complete]:
        yield f"Left out, because final scores are missing or were made by different rules: {_counted(ids)}."


def _orders(selected: SelectedRuns) -> Iterator[str]:
    every = split(selected.complete, order_of)
    if len(every) > 1 and not selected.shared:
        yield "The methods have no task order in common: each is averaged over its own orders, and none are compared."
    if left := [order for order in every if order not in selected.orders]:
        yield f"Left out, because not all methods have learnt it: the order {'; '.join(map(_names, left))}."
    for method, seeds in selected.left_out.items():
        if seeds:
            yield f"{selected.labels[method]}: {_seeds(seeds)} left out, because not all orders are learnt."


def _reference(selected: SelectedRuns, scorer: Scorer, options: ReportOptions) -> Iterator[str]:
    reference = selected.reference
    if reference is None:
        if selected.complete:
            yield _no_reference(selected, options)
        return
    used, unused = reference.methods(selected.complete), reference.unused(selected.complete)
    if len(used) + len(unused) > 1:
        others = f", not {', '.join(unused)}; the first that is named and comparable counts" if unused else ""
        yield f"There are several references of the strategy {reference.strategy}; used are {', '.join(used)}{others}."
    for method, seeds in selected.seeds.items():
        missing = [seed for seed, cells in seeds.items() if not all(map(reference.runs_for, _flat(cells)))]
        if missing:
            label = selected.labels[method]
            without = f"without a comparable run of {reference.strategy}"
            yield f"{label}: no relative scores for {_seeds(missing)}, {without}."
    yield from _unusable(selected, scorer)


def _no_reference(selected: SelectedRuns, options: ReportOptions) -> str:
    wanted = options.relative_to or REFERENCES[0]
    tasks = ",".join(selected.complete[0].tasks)
    seeds = ",".join(f"{seed}" for seed in sorted({run.seed for run in selected.complete}))
    names = options.relative_to or " or ".join(REFERENCES)
    backbone = quote(selected.complete[0].backbone)
    words = ["micl sweep --strategy", wanted, "--tasks", quote(tasks), "--seed", seeds, "--backbone", backbone]
    command = " ".join([*words, *_flags(selected.complete)])
    return (
        f"No relative scores: no run of the strategy {names} has final scores. Learn one and report it too: {command}"
    )


def _flags(runs: Sequence[RunData]) -> Iterator[str]:
    """Yield flags for the settings of training and evaluation that all runs have, unless they are the defaults."""
    for cls in (Training, Evaluation):
        for name, (option, flags) in declared_settings(cls).items():
            values = {run.settings.get(f"{cls.__name__.lower()}.{name}") for run in runs}
            default = option.default if isinstance(option.default, str) else json.dumps(option.default)
            value = values.pop() if len(values) == 1 else None
            if value not in (None, "null", default):
                yield flags[0] if option.type is bool else f"{flags[0]} {quote(value)}"


def _unusable(selected: SelectedRuns, scorer: Scorer) -> Iterator[str]:
    """Yield a note for each task on which the reference scored 0."""
    for task in selected.complete[0].tasks if selected.complete else ():
        scores = [(run.seed, scorer.reference_score(run, task)) for run in selected.complete]
        if zero := sorted({seed for seed, score in scores if score is not None and score[0] <= 0}):
            yield f"No relative scores of {task} for {_seeds(zero)}: the reference scored 0."


def _interval(selected: SelectedRuns, scorer: Scorer, options: ReportOptions) -> Iterator[str]:
    if options.interval == "t":
        return
    if any(len(seeds) < ENOUGH_SEEDS for seeds in selected.seeds.values()):
        yield f"Bootstrap intervals from fewer than {ENOUGH_SEEDS} seeds are too narrow; --interval t gives wider ones."
    if options.interval == "bca":
        yield f"BCa intervals need at least {FEWEST_VALUES} different values."
    if scorer.resampling:
        yield from _not_resampled(scorer.resampling.problems)


def _not_resampled(problems: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield a note for each reason why examples cannot be resampled, with the tasks and runs."""
    for problem in dict.fromkeys(problems.values()):
        keys = [key for key, other in problems.items() if other == problem]
        runs, tasks = (list(dict.fromkeys(each)) for each in zip(*keys, strict=True))
        way_out = "Use --interval t or bca."
        if problem == NOT_STORED:
            way_out = f"Store them for each run: micl eval {runs[0]} --stage 1..last --predictions all"
        yield f"No interval for figures with {', '.join(tasks)} of {_counted(runs)}: {problem}. {way_out}"


def _code(selected: SelectedRuns) -> Iterator[str]:
    """Yield which methods ran with which code if it differs, else what is to be said of that of all runs."""
    by_code = split(selected.complete, code_of)
    if len(by_code) < 2:
        yield from code_notes(selected.complete)
        return
    each = [f"{_short(code)}: {', '.join(_labels(selected, runs))}" for code, runs in by_code.items()]
    yield f"Rows come from different code: compare them with care ({'; '.join(each)})."


def _short(code: str) -> str:
    """Return the digests of the code of a run, of which it has several if the code changed."""
    return THEN.join(digest[:DIGEST] for digest in code.split(THEN))


def _recipes(selected: SelectedRuns) -> Iterator[str]:
    for recipe, runs in split([run for run in selected.complete if run.recipe], recipe_text).items():
        yield f"Settings of {', '.join(_labels(selected, runs))}: recipe {recipe}."


def _labels(selected: SelectedRuns, runs: Sequence[RunData]) -> list[str]:
    return list(dict.fromkeys(selected.labels[method_of(run)] for run in runs))


def _flat(cells: Sequence[Sequence[RunData]]) -> list[RunData]:
    return [run for attempts in cells for run in attempts]


def _names(order: Order) -> str:
    return ", ".join(order.tasks)


def _seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _counted(ids: Sequence[str]) -> str:
    return f"{'run' if len(ids) == 1 else 'runs'} {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}"
