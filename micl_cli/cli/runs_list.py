"""``micl runs ls``: the list of runs, with filters and an order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import Command, JoinedOption
from micl_cli.cli.completers import complete_strategy_list, complete_tags, complete_tasks
from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.context import current_settings
from micl_cli.errors import UsageError
from micl_cli.io.durations import duration_text

if TYPE_CHECKING:
    from micl_cli.records import RunRecord
    from micl_cli.report.data import RunData

STATUSES = ["running", "finished", "interrupted", "failed", "damaged"]
PLAN_FIELDS = ("strategy", "backbone", "seed")
"""The fields of a plan that a list of runs shows; a damaged run has none of them."""

_OPTIONAL = ("backbone", "seed", "started", "time")
"""The columns that a narrow terminal has no room for, the least important first."""
_AGO = re.compile(r"(\d{1,6})\s*([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_OF_RECORD: Mapping[str, Callable[[RunRecord], Any]] = {
    "started": lambda run: run.started,
    "strategy": lambda run: run.plan.get("strategy"),
    "status": lambda run: run.status,
    "name": lambda run: run.name or None,
}
_OF_RESULTS: Mapping[str, Callable[[RunData], Any]] = {
    "mfn": lambda data: data.metrics["mfn"],
    "bwt": lambda data: data.metrics["bwt"],
    "time": lambda data: _seconds(data) or None,
}
_DESCENDING = {"started", *_OF_RESULTS}
"""The keys whose highest value stands first."""


def since(ctx: click.Context, parameter: click.Parameter, text: str | None) -> str:
    """Return the time in the store's format for "7d", "12h" or "2026-03-01". Raises UsageError."""
    if not text:
        return ""
    try:
        if match := _AGO.fullmatch(text.strip()):
            when = datetime.now(timezone.utc) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            when = datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        hint = "Write 30m, 12h, 7d or 2w, or a date or time such as 2026-03-01 or 2026-03-01T14:30."
        raise UsageError(f"--since {text!r} is not a time", hint) from error
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


@click.command("ls", cls=Command)
@click.option("--strategy", cls=JoinedOption, shell_complete=complete_strategy_list, metavar="A,B",
              help="Only list runs of these strategies.")  # fmt: skip
@click.option("--task", shell_complete=complete_tasks,
              help="Only list runs that learn a task, or any of a benchmark: img_qa, mini/img_qa or mini.")  # fmt: skip
@click.option("--since", callback=since, metavar="TIME",
              help="Only list runs started since then: 12h, 7d, 2w, 2026-03-01 or 2026-03-01T14:30.")  # fmt: skip
@click.option("--status", type=click.Choice(STATUSES), help="Only list runs with this status.")
@click.option("--tag", shell_complete=complete_tags, help="Only list runs with this tag.")
@click.option("--sort", default="started", type=click.Choice([*_OF_RECORD, *_OF_RESULTS]),
              help="Sort by this: newest, highest or longest first, texts in alphabetical order.")  # fmt: skip
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option("--limit", default=50, type=click.IntRange(1), help="Maximum number of runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_runs(sort: str, reverse: bool, limit: int, as_json: bool, **chosen: Any) -> None:
    """List runs with their mean final score (MFN), backward transfer (BWT) and time, the newest first.

    Scores are x100. Means over tasks on different scales are marked by *. The time is that of learning, with the passes
    over data before and after it.

    \b
    Examples:
      micl runs --strategy moincl,ewc --since 7d --sort mfn
      micl runs ls --json | jq -r .runs[].id
    """
    from micl_cli.session import Session
    from micl_cli.session.overview import overviews

    session = Session(current_settings())
    known = session.runs()
    runs = [run for run in known if _is_chosen(run, **chosen)]
    by_results = sort in _OF_RESULTS
    results = overviews(session, runs if by_results else ())
    runs = _sorted(runs, results, sort, reverse)[:limit]
    results = results if by_results else overviews(session, runs)
    if as_json:
        echo_json({"runs": [{**summary(run), **_figures(results.get(run.id))} for run in runs]})
    elif runs:
        _show(runs, results)
    elif known:
        note("no run matches; `micl runs` lists all")
    else:
        note("no runs yet; start one: micl learn --strategy moincl --tasks img_cap,aud_qa")


def _is_chosen(
    run: RunRecord, strategy: str | None, task: str | None, since: str, status: str | None, tag: str | None
) -> bool:
    """Return whether a run passes all filters; None and empty ones let every run pass."""
    return all(
        (
            status in (None, run.status),
            not strategy or run.plan.get("strategy") in [name.strip() for name in strategy.split(",")],
            not task or any(_is_meant(task, each) for each in run.plan.get("tasks", ())),
            not since or run.started >= since,
            tag is None or tag in run.tags,
        )
    )


def _is_meant(word: str, task: str) -> bool:
    benchmark, _, short = task.partition("/")
    return word in (task, benchmark, short)


def _sorted(runs: Sequence[RunRecord], results: Mapping[str, RunData], key: str, reverse: bool) -> list[RunRecord]:
    """Return the runs in the order of a key, those without a value last. Runs with equal values keep their order."""
    if key in _OF_RECORD:
        values = {run.id: _OF_RECORD[key](run) for run in runs}
    else:
        values = {run.id: _OF_RESULTS[key](results[run.id]) if run.id in results else None for run in runs}
    valued = [run for run in runs if values[run.id] is not None]
    if key == "started":  # the order of the store, which also has runs that were started in the same second
        return list(reversed(runs)) if reverse else list(runs)
    ordered = sorted(valued, key=lambda run: values[run.id], reverse=(key in _DESCENDING) != reverse)
    return ordered + [run for run in runs if values[run.id] is None]


def _show(runs: Sequence[RunRecord], results: Mapping[str, RunData]) -> None:
    from micl_cli.report.scales import mixture_note

    columns = ["run", "status", *PLAN_FIELDS, "MFN", "BWT", "time", "started", "name", "tags", "tasks"]
    rows = [dict(zip(columns, _row(run, results.get(run.id)), strict=True)) for run in runs]
    shown = [name for name in columns if name not in ("name", "tags") or any(row[name] for row in rows)]
    cells = [[row[name] for name in shown] for row in rows]
    echo(table(shown, cells, right=("MFN", "BWT", "time"), optional=_OPTIONAL))
    if text := mixture_note(map(_mixture, map(results.get, (run.id for run in runs)))):
        note(text)


def _row(run: RunRecord, data: RunData | None) -> list[Any]:
    tasks = ",".join(map(str, run.plan.get("tasks", ())))
    labels = [_local(run.started), run.name, ",".join(run.tags), tasks]
    return [run.id, run.status, *map(run.plan.get, PLAN_FIELDS), *_cells(data), *labels]


def _local(started: str) -> str:
    """Return a time of the store in the local time zone, without seconds; what is not a time as it is."""
    try:
        return datetime.fromisoformat(started.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return started


def _cells(data: RunData | None) -> Iterable[str]:
    from micl_cli.report.scales import marked_number

    figures = _figures(data)
    yield from (marked_number(figures[name], figures["mixed_scales"]) for name in ("mfn", "bwt"))
    yield duration_text(figures["seconds"]) if figures["seconds"] else ""


def _figures(data: RunData | None) -> dict[str, Any]:
    """Return the figures of a list as JSON-ready fields; None if they are undefined or not measured yet."""
    if data is None:
        return {**dict.fromkeys(("mfn", "bwt", "seconds")), "mixed_scales": ""}
    figures = {name: data.metrics[name] for name in ("mfn", "bwt")}
    return {**figures, "seconds": _seconds(data), "mixed_scales": _mixture(data)}


def _mixture(data: RunData | None) -> str:
    """Return the mark of MFN and BWT if they mix scales, or an empty text."""
    from micl_cli.report.scales import mixture_of

    return mixture_of(data) if data else ""


def _seconds(data: RunData) -> float:
    cost = data.cost
    return cost.before_seconds + cost.seconds + cost.after_seconds


def summary(run: RunRecord) -> dict[str, Any]:
    """Return the JSON-ready fields of a run without its results."""
    return {
        "id": run.id,
        "name": run.name,
        "tags": list(run.tags),
        "parent": run.parent,
        "status": run.status,
        **{key: run.plan.get(key) for key in (*PLAN_FIELDS, "tasks")},
        "started": run.started,
        "finished": run.finished,
        "error": run.error,
    }
