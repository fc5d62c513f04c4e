"""The display of studies: the progress of trials, and tables of their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from micl_cli.cli.console import echo, escape, table
from micl_cli.cli.sweep_display import SweepDisplay
from micl_cli.io.json_lines import write_json_line
from micl_cli.tune.records import OBJECTIVES, SPLIT, edge_notes, unequal_trials
from micl_cli.tune.tuning import TrialEnded

if TYPE_CHECKING:
    from micl_cli.sweep.executor import CellEvent
    from micl_cli.sweep.scheduler import CellEnded, CellStarted
    from micl_cli.tune.records import StudyState, TrialRecord


class TuneDisplay(SweepDisplay):
    """The display of ``micl tune``: that of a sweep, and a line for each trial that has ended."""

    def consume(self, message: CellStarted | CellEvent | CellEnded | TrialEnded) -> None:
        """Show an event of a study."""
        if not isinstance(message, TrialEnded):
            super().consume(message)
            return
        study, trial = message.state.study, message.trial
        if self.as_json:
            write_json_line({"event": "trial", "study": study.name, "strategy": study.strategy, **trial_json(trial)})
        self.write_line(f"{study.strategy} trial {trial.number}: {_result(trial)}  {values_text(trial.values)}")


def _result(trial: TrialRecord) -> str:
    return f"failed: {trial.error}" if trial.error else percent(trial.value)


def percent(value: float | None) -> str:
    """Return an objective in per cent."""
    return "-" if value is None else f"{100 * value:.2f}"


def values_text(values: Mapping[str, Any]) -> str:
    """Return options as text."""
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def trial_json(trial: TrialRecord) -> dict[str, Any]:
    """Return JSON-ready fields of a trial; objectives are shares of the highest possible score."""
    return {
        "trial": trial.number,
        "state": trial.state,
        "options": dict(trial.values),
        "runs": dict(trial.runs),
        "objectives": dict(trial.objectives),
        "value": trial.value,
        "spread": trial.spread,
        "error": trial.error,
        "ended": trial.ended,
    }


def study_json(states: Sequence[StudyState]) -> dict[str, Any]:
    """Return JSON-ready fields of a study."""
    first = states[0].study
    shared: dict[str, Any] = {
        "study": first.name,
        "tasks": list(first.tasks),
        "split": SPLIT,
        "seeds": list(first.seeds),
    }
    shared |= {"objective": OBJECTIVES[first.objective], "backbone": first.base.backbone, "created": first.created}
    shared |= {"reserved": list(first.reserved), "complete": not unequal_trials(states)}
    return {**shared, "strategies": [_strategy_json(state) for state in states]}


def _strategy_json(state: StudyState) -> dict[str, Any]:
    return {
        "strategy": state.study.strategy,
        "space": {dimension.name: str(dimension) for dimension in state.study.space},
        "trials": [trial_json(trial) for trial in (*state.trials, *state.open)],
        "best": state.best.number if state.best else None,
        "edges": state.edges,
    }


def show_study(states: Sequence[StudyState]) -> None:
    """Write a study as text: its definition, and the trials of each strategy."""
    first = states[0].study
    echo(escape(f"study      {first.name}, since {first.created}"))
    echo(escape(f"tasks      {', '.join(first.tasks)} ({SPLIT})"))
    echo(escape(f"backbone   {first.base.backbone}"))
    echo(f"objective  {OBJECTIVES[first.objective]}, in per cent of the highest possible")
    for state in states:
        echo()
        echo("\n".join(_strategy_lines(state)))


def _strategy_lines(state: StudyState) -> Iterator[str]:
    study, best = state.study, state.best
    spaces = "; ".join(f"{dimension.name} in {dimension}" for dimension in study.space)
    yield escape(f"{study.strategy}: {spaces}")
    headers = ["trial", *(dimension.name for dimension in study.space)]
    headers += [*(f"seed {seed}" for seed in study.seeds), "mean", "state", "runs"]
    yield table(headers, [_row(state, trial) for trial in (*state.trials, *state.open)])
    if best is None:
        yield "no trial has finished"
        return
    spread = "" if best.spread is None else f" (sd {percent(best.spread)} over seeds)"
    defaults = f"; defaults: {percent(state.trials[0].value)}" if best.number else "; these are the defaults"
    yield f"best: trial {best.number}, {percent(best.value)}{spread}{defaults}"
    yield from map(escape, edge_notes(state))


def _row(state: StudyState, trial: TrialRecord) -> list[Any]:
    study = state.study
    values = [trial.values[dimension.name] for dimension in study.space]
    objectives = [percent(trial.objectives.get(str(seed))) for seed in study.seeds]
    runs = ", ".join(trial.runs.values())
    named = "best" if state.best is not None and trial.number == state.best.number else trial.state
    return [trial.number, *values, *objectives, percent(trial.value), named, f"{runs} {trial.error}".strip()]
