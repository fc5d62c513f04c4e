"""``micl runs``: list, show, name, tag and remove runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.completers import complete_runs
from micl_cli.cli.console import echo, echo_json, fail, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import DefaultGroup
from micl_cli.cli.runs_labels import rename, tag
from micl_cli.cli.runs_list import list_runs, summary
from micl_cli.errors import MiclError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from micl_cli.records import RunDetails, StageRecord


@click.group(cls=DefaultGroup)
def runs() -> None:
    """List runs (the default), show one, give it a name or tags, or remove some.

    \b
    Examples:
      micl runs --status finished --sort mfn
      micl runs tag @last paper
    """


runs.add_command(list_runs)  # the first one is the default


@runs.command("show")
@click.argument("run", shell_complete=complete_runs)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show_run(run: str, as_json: bool) -> None:
    """Show a run's plan, environment with its changes, recipe, stages and scores.

    \b
    Example: micl runs show @last
    """
    from micl_cli.session import Session

    settings = current_settings()
    session = Session(settings)
    details = session.details(session.resolve(run))
    if as_json:
        echo_json(_document(details, str(settings.runs / details.run.id)))
        return
    _print(details, str(settings.runs / details.run.id))


@runs.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_runs)
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--force", is_flag=True, help="Also remove runs that others continue.")
def remove_runs(names: tuple[str, ...], yes: bool, force: bool) -> None:
    """Remove runs with their checkpoints: first the files, then the records in the store.

    A run whose files cannot all be removed stays in the store, and the files that remain are named (exit code 1).

    \b
    Example: micl runs rm 3f2a --yes
    """
    from micl_cli.session import Session

    session = Session(current_settings())
    ids = list(dict.fromkeys(session.resolve(name) for name in names))
    if not yes and not click.confirm(f"Remove {', '.join(ids)} with all checkpoints?", err=True):
        raise UsageError("nothing was removed", "Answer yes, or use --yes.")
    failed = []
    for run_id in ids:
        try:
            session.remove(run_id, force=force)
        except MiclError as error:
            if len(ids) == 1:
                raise
            fail(error.message, error.hint)
            failed.append(run_id)
        else:
            note(f"removed {run_id}")
    if failed:
        raise MiclError(f"{len(failed)} of {len(ids)} runs were not removed: {', '.join(failed)}")


def _document(details: RunDetails, folder: str) -> dict[str, Any]:
    from dataclasses import asdict

    run = details.run
    return {
        **summary(run),
        "folder": folder,
        "log": _log(folder),
        "plan": run.plan,
        "environment": run.environment,
        "environments": [asdict(environment) for environment in details.environments],
        "recipe": run.recipe,
        "plugins": [asdict(plugin) for plugin in details.plugins],
        "stages": [asdict(stage) for stage in details.stages],
        "scores": [asdict(score) for score in details.scores],
        "validations": [asdict(validation) for validation in details.validations],
    }


def _log(folder: str) -> str | None:
    """Return the path of the log of a run, or None if there is none."""
    from micl_cli.session.run_log import FILE

    path = Path(folder) / FILE
    return str(path) if path.is_file() else None


def _print(details: RunDetails, folder: str) -> None:
    from micl_cli.report.data import time_columns
    from micl_cli.report.provenance import later_environments, plain

    run = details.run
    facts = {
        "run": run.id,
        "name": run.name,
        "tags": ", ".join(run.tags),
        "status": run.status + (f": {run.error}" if run.error else ""),
        "continues": run.parent or "",
        "started": run.started,
        "finished": run.finished,
        "folder": folder,
        "log": _log(folder) or "",
        **{key: _value(value) for key, value in run.plan.items() if key not in ("name", "parent", "data")},
        **{f"with {key}": plain(key, value) for key, value in run.environment.items()},
        "recipe": _value(run.recipe or {}),
        **{f"plugin {p.kind}": f"{p.distribution}:{p.name} {p.version}" for p in details.plugins},
    }
    rows = [*facts.items(), *later_environments(details.environments)]
    echo(table(["what", "value"], [[key, value] for key, value in rows if value != ""]))
    echo()
    times = time_columns(details.stages)
    stages = [
        [s.position, s.status, ", ".join(s.tasks), s.steps, *_seconds(s, times.values()), s.checkpoint]
        for s in details.stages
    ]
    echo(table(["stage", "status", "tasks", "steps", *times, "checkpoint"], stages))
    echo()
    scores = [[s.after, s.task, s.metric, _score(s.value), s.n, s.split] for s in details.scores if s.main]
    echo(table(["after stage", "task", "metric", "score", "examples", "split"], scores))


def _seconds(stage: StageRecord, fields: Iterable[str]) -> list[float]:
    return [round(getattr(stage, field), 1) for field in fields]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={inner}" for key, inner in value.items() if inner is not None)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


for command in (rename, tag):
    runs.add_command(command)
