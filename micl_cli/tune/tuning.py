"""Tuning of one or several strategies: a trial is one ordinary run for each seed.

The runs of all strategies share the processes of ``--jobs``. The options of a trial depend on the trials before it, but
not on the number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from micl_cli.api.task import Task
from micl_cli.plan import Plan
from micl_cli.session.request import Request
from micl_cli.session.session import Session
from micl_cli.sweep.executor import CellEvent
from micl_cli.sweep.grid import Cell
from micl_cli.sweep.scheduler import CellEnded, CellOptions, CellStarted, run_queue
from micl_cli.tune.objective import objective_value
from micl_cli.tune.records import StudyState, TrialRecord
from micl_cli.tune.sampling import STARTUP_TRIALS, sample
from micl_cli.tune.space import Dimension
from micl_cli.tune.storage import TuneStorage


@dataclass(frozen=True)
class TrialEnded:
    """A trial of a strategy has ended and is stored. ``state`` is the state of the study after it."""

    state: StudyState
    trial: TrialRecord


def now() -> str:
    """Return the time in UTC, in ISO format with seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def trial_request(request: Request, space: Sequence[Dimension], values: Mapping[str, Any], seed: int) -> Request:
    """Return the request for a run of a trial."""
    options = {dimension.name: values[dimension.name] for dimension in space if not dimension.training}
    training = {dimension.name: values[dimension.name] for dimension in space if dimension.training}
    return replace(
        request,
        seed=seed,
        strategy_options={**request.strategy_options, **options},
        training={**request.training, **training},
    )


@dataclass
class _OpenTrial:
    """A trial in progress, with the result of each seed that has ended: an objective, or an error."""

    number: int
    values: Mapping[str, Any]
    cells: Mapping[int, Cell]
    objectives: dict[int, float | None] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.objectives) == len(self.cells)

    @property
    def error(self) -> str:
        return "; ".join(f"seed {seed}: {self.errors[seed]}" for seed in sorted(self.errors))

    def record(self, ended: str = "") -> TrialRecord:
        return TrialRecord(
            number=self.number,
            values=self.values,
            runs={str(seed): cell.plan.id for seed, cell in self.cells.items()},
            objectives={str(seed): self.objectives[seed] for seed in self.cells if seed in self.objectives},
            error=self.error if ended else "",
            ended=ended,
        )


class StrategyTuning:
    """The tuning of one strategy, up to ``trials`` trials.

    ``problem`` says why no further trial can start: the first trial has failed, or a run was not finished.
    """

    def __init__(
        self,
        session: Session,
        storage: TuneStorage,
        state: StudyState,
        request: Request,
        tasks: Sequence[Task],
        trials: int,
    ) -> None:
        self.session, self.storage, self.state = session, storage, state
        self.request, self.tasks, self.trials = request, tasks, trials
        self.problem = ""
        self._open: dict[int, _OpenTrial] = {}
        self._queued: set[str] = set()
        self._former = {trial.number: trial.values for trial in state.open}

    @property
    def strategy(self) -> str:
        """The name of the strategy."""
        return self.state.study.strategy

    def start(self) -> list[Cell]:
        """Open the trials that can be started now, and return their runs."""
        opened = list(self._new_trials())
        if opened:
            self._write_open()
        cells = {cell.plan.id: cell for trial in opened for cell in trial.cells.values()}
        new = [cell for run, cell in cells.items() if run not in self._queued]
        self._queued |= cells.keys()
        return new

    def consume(self, ended: CellEnded) -> Iterator[TrialRecord]:
        """Take the end of a run, and write and yield the trials that have ended with it."""
        run = ended.cell.plan.id
        self._queued.discard(run)
        if ended.status in ("busy", "interrupted") or ended.killed:
            self.problem = self.problem or f"run {run} ({ended.cell.title}) is {_unfinished(ended)}"
            return
        objective, error = self._result(ended)
        for trial in self._open.values():
            for seed, cell in trial.cells.items():
                if cell.plan.id == run:
                    trial.objectives[seed] = objective
                    trial.errors |= {seed: error} if error else {}
        yield from self._write_ended()

    def plans(self, values: Mapping[str, Any]) -> dict[int, Plan]:
        """Return the plan of a trial for each seed."""
        study = self.state.study
        requests = [trial_request(self.request, study.space, values, seed) for seed in study.seeds]
        plans = [self.session.plan(request, self.tasks) for request in requests]
        return dict(zip(study.seeds, self.session.with_earlier_digest(plans), strict=True))

    def _new_trials(self) -> Iterator[_OpenTrial]:
        while not self.problem:
            number = len(self.state.trials) + len(self._open)
            if number >= self.trials or (self._open and number >= STARTUP_TRIALS):
                return
            values = self._former.get(number) or sample(self.state.study.space, self.state.trials, number)
            cells = {
                seed: Cell(self.strategy, f"trial {number}", seed, plan, self.tasks)
                for seed, plan in self.plans(values).items()
            }
            self._open[number] = _OpenTrial(number, values, cells)
            yield self._open[number]

    def _result(self, ended: CellEnded) -> tuple[float | None, str]:
        """Return the objective of a run that has ended, or None and the reason."""
        if ended.status == "failed":
            return None, ended.error or "the run failed"
        study = self.state.study
        details = self.session.details(ended.cell.plan.id)
        value = objective_value(details, study.objective, self.session.registry)
        return value, "" if value is not None else "a score was not measured, or is not finite"

    def _write_ended(self) -> Iterator[TrialRecord]:
        """Write the trials that have ended, in the order of their numbers."""
        while (trial := self._open.get(len(self.state.trials))) and trial.complete:
            if not trial.number and trial.error:
                # The tuned options are not to blame, so it is not recorded, and repeated by the next call.
                self.problem = f"the first trial, with the defaults, has failed: {trial.error}"
                return
            record = trial.record(now())
            self.storage.add_trial(self.state.study, record)
            del self._open[trial.number]
            self.state = replace(self.state, trials=(*self.state.trials, record))
            self._write_open()
            yield record

    def _write_open(self) -> None:
        records = tuple(trial.record() for trial in self._open.values())
        self.storage.write_open(self.state.study, records)
        self.state = replace(self.state, open=records)


def tune(
    tunings: Sequence[StrategyTuning], options: CellOptions, stop: Callable[[], bool]
) -> Generator[CellStarted | CellEvent | CellEnded | TrialEnded, None, None]:
    """Run the trials of strategies, ``options.jobs`` runs at a time, and yield events.

    After ``stop`` returns True, running cells save their state and end; the next call continues with them.
    """
    by_strategy = {tuning.strategy: tuning for tuning in tunings}
    waiting = deque(cell for tuning in tunings for cell in tuning.start())
    with closing(run_queue(tunings[0].session, waiting, options, stop)) as messages:
        for message in messages:
            yield message
            if isinstance(message, CellEnded):
                tuning = by_strategy[message.cell.strategy]
                for trial in tuning.consume(message):
                    yield TrialEnded(tuning.state, trial)
                if not stop():
                    waiting.extend(tuning.start())


def _unfinished(ended: CellEnded) -> str:
    if ended.killed:
        return f"not finished: {ended.error}"
    return "busy: another process or machine works on it" if ended.status == "busy" else "interrupted"
