"""Runs of the run store: one by name, all of them, and several in comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from micl_cli.cli.status import DownloadBars
from micl_cli.notebook.arguments import settings_of
from micl_cli.notebook.run import Run
from micl_cli.session.session import Session
from micl_cli.settings import prepare_process


def load_run(run: str = "@last", *, home: str | Path | None = None, trust_remote_code: bool = False) -> Run:
    """Return a run by its id, a prefix of it, its name, or "@last": the one that was started most recently.

    Nothing is loaded but its records; its model is loaded when it is asked. ``home`` is the folder that micl reads and
    writes, as ``--home``. Only with ``trust_remote_code``, the code of a checkpoint may run. Raises UsageError if no or
    several runs match.
    """
    session = _session(home, trust_remote_code)
    return Run(session, session.resolve(run), home)


def list_runs(*, strategy: str | None = None, home: str | Path | None = None) -> list[Run]:
    """Return all runs, or those of a strategy, the most recently started first."""
    session = _session(home)
    records = [each for each in session.runs() if strategy in (None, each.plan.get("strategy"))]
    return [Run(session, each.id, home) for each in records]


def compare(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the summary of runs that ``micl report`` shows: a dict for each method, with means over seeds.

    Keys are "method", "strategy", "settings" (those in which it differs from other methods of its strategy), "runs"
    (ids), "seeds", "rank" and the names of figures; "low" and "high" hold the bounds of 95 % intervals by figure, where
    there is one. Sets of different tasks have methods of their own, with
    their "tasks". ``pandas.DataFrame(compare(runs))`` is a table of them.
    """
    from micl_cli.report.summary import summaries_of

    return [
        {
            "method": method.label,
            "strategy": method.runs[0].strategy if method.runs else "",
            "settings": dict(method.settings),
            "tasks": list(summary.tasks),
            "runs": [run.id for run in method.runs],
            "seeds": list(method.seeds),
            "rank": method.rank,
            **{figure: mean.mean for figure, mean in method.means.items()},
            "low": {figure: mean.low for figure, mean in method.means.items() if mean.low is not None},
            "high": {figure: mean.high for figure, mean in method.means.items() if mean.high is not None},
        }
        for summary in summaries_of([run.data() for run in runs])
        for method in summary.methods
    ]


def _session(home: str | Path | None, trusted: bool = False) -> Session:
    prepare_process()
    return Session(settings_of(home), progress=DownloadBars().update, trusted=trusted)
