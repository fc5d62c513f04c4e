"""``micl prepare``: make tasks ready to be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.completers import complete_tasks
from micl_cli.cli.console import echo, echo_json, table, warn
from micl_cli.cli.context import current_settings
from micl_cli.cli.status import preparing
from micl_cli.errors import UsageError

if TYPE_CHECKING:
    from micl_cli.data.preparation import Prepared

EPILOG = """\b
Examples:
  micl prepare img_cap,aud_qa
  micl prepare my-task/ --on-error skip
  micl prepare data/*/

\b
A folder of your own holds task.toml (name, modality, type, metric) and manifest.jsonl, one
example a line: {"id": "1", "split": "train", "image": "a.png", "prompt": "…", "references": ["…"]}
Its media stay where they are."""


@click.command(epilog=EPILOG)
@click.argument("what", nargs=-1, required=True, metavar="TASKS|FOLDER...", shell_complete=complete_tasks)
@click.option("--benchmark", default="mini", help="The benchmark that bare task names belong to.")
@click.option("--on-error", default="fail", type=click.Choice(["fail", "skip"]),
              help="What to do about media that cannot be read: stop, or leave their examples out.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def prepare(what: tuple[str, ...], benchmark: str, on_error: Any, as_json: bool) -> None:
    """Make tasks ready: read every medium once, count, and take the sha256 of all data."""
    from micl_cli.session import Session

    session = Session(current_settings())
    done = []
    for name in [name for word in what for name in _names(word, benchmark)]:
        with preparing(name) as progress:
            prepared = session.tasks.prepare(name, on_error=on_error, progress=progress)
        done.append(prepared)
        if prepared.refused:
            warn(f"{prepared.task.name}: {len(prepared.refused)} examples left out\n" + _reasons(prepared))
    if as_json:
        echo_json({"tasks": [_document(prepared) for prepared in done]})
        return
    rows = [[p.task.name, p.task.modality, p.task.kind, *_counts(p), p.task.sha256[:12], str(p.folder)] for p in done]
    echo(table(["task", "modality", "type", "train", "val", "test", "left out", "sha256", "folder"], rows))


def _names(word: str, benchmark: str) -> list[str]:
    """Folders as they are; "a,b" as full task names."""
    from micl_cli.plan import split_tasks

    if Path(word).is_dir():
        return [word]
    if word.startswith((".", "/", "~")) or word.endswith("/"):
        raise UsageError(f"there is no folder {word}", "Name a folder with task.toml and manifest.jsonl, or a task.")
    return list(split_tasks(word, benchmark))


def _reasons(prepared: Prepared) -> str:
    lines = [f"  {refused.id}: {refused.path}: {refused.reason}" for refused in prepared.refused[:20]]
    more = [f"  and {len(prepared.refused) - 20} more"] if len(prepared.refused) > 20 else []
    return "\n".join([*lines, *more])


def _counts(prepared: Prepared) -> list[int]:
    counts = prepared.task.counts
    return [counts.get("train", 0), counts.get("val", 0), counts.get("test", 0), len(prepared.refused)]


def _document(prepared: Prepared) -> dict[str, Any]:
    task = prepared.task
    return {
        "name": task.name,
        "modality": task.modality,
        "type": task.kind,
        "metric": task.metric,
        "counts": dict(task.counts),
        "sha256": task.sha256,
        "folder": str(prepared.folder),
        "refused": [{"id": r.id, "path": r.path, "reason": r.reason} for r in prepared.refused],
    }
