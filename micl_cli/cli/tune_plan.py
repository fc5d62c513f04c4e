"""The output of ``micl tune --dry-run``: spaces, defaults, the number of missing runs, and an estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from micl_cli.cli.console import table
from micl_cli.cli.tune_request import PlannedStudy

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.session import Session
    from micl_cli.sweep.scheduler import CellOptions
    from micl_cli.tune.records import StudyRecord
    from micl_cli.tune.storage import TuneStorage


@dataclass(frozen=True)
class PlannedStrategy:
    """The study of a strategy before it is run: the number of trials that have ended, and the runs of the first trial.

    ``seconds`` is the estimated learning time of one run, or None without an earlier run to estimate from.
    """

    study: StudyRecord
    ended: int
    runs: tuple[str, ...]
    seconds: float | None


def planned_strategies(
    session: Session,
    storage: TuneStorage | None,
    studies: Sequence[PlannedStudy],
    tasks: Sequence[Task],
    trials: int,
    options: CellOptions,
) -> list[PlannedStrategy]:
    """Return what is planned for each strategy; nothing is written. Raises the errors of a study that does not fit."""
    from micl_cli.tune.definition import begun
    from micl_cli.tune.sampling import sample
    from micl_cli.tune.tuning import trial_request

    planned = []
    for each in studies:
        record = each.record
        state = begun(storage.existing_states(record.name) if storage else (), record, trials)
        values = sample(record.space, (), 0)
        requests = [trial_request(each.request, record.space, values, seed) for seed in record.seeds]
        plans = session.with_earlier_digest([session.plan(request, tasks) for request in requests], dry=True)
        estimate = session.estimate(plans[0], tasks, options.device)
        seconds = None if estimate.step_seconds is None else estimate.steps * estimate.step_seconds
        runs = tuple(plan.id for plan in plans)
        planned.append(PlannedStrategy(record, len(state.trials) if state else 0, runs, seconds))
    return planned


def planned_json(planned: Sequence[PlannedStrategy], trials: int, jobs: int) -> dict[str, Any]:
    """Return JSON-ready fields of what is planned."""
    return {
        "study": planned[0].study.name,
        "trials": trials,
        "seeds": list(planned[0].study.seeds),
        "jobs": jobs,
        "strategies": [
            {
                "strategy": each.study.strategy,
                "space": {dimension.name: str(dimension) for dimension in each.study.space},
                "defaults": {dimension.name: dimension.default for dimension in each.study.space},
                "ended": each.ended,
                "first_runs": list(each.runs),
                "run_seconds": each.seconds,
            }
            for each in planned
        ],
    }


def planned_lines(planned: Sequence[PlannedStrategy], trials: int, jobs: int) -> Iterator[str]:
    """Yield what is planned as text."""
    first = planned[0].study
    yield f"study      {first.name}"
    yield f"tasks      {', '.join(first.tasks)}"
    yield f"seeds      {', '.join(map(str, first.seeds))}"
    yield ""
    rows = [
        [
            each.study.strategy,
            dimension.name,
            str(dimension),
            "none" if dimension.default is None else dimension.default,
        ]
        for each in planned
        for dimension in each.study.space
    ]
    yield table(["strategy", "option", "space", "default"], rows)
    yield ""
    missing = [(trials - each.ended) * len(first.seeds) for each in planned]
    known = [
        None if each.seconds is None else each.seconds * count for each, count in zip(planned, missing, strict=True)
    ]
    times = [seconds for seconds in known if seconds is not None]
    time = f"about {sum(times) / jobs:.0f} s of learning, {jobs} at a time" if times else "no time estimate"
    partly = ", not counting strategies without an earlier run" if 0 < len(times) < len(known) else ""
    yield f"{sum(missing)} runs to learn ({trials} trials x {len(first.seeds)} seeds for each strategy): {time}{partly}"
