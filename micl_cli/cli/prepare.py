"""``micl prepare``: prepare tasks for learning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_tasks
from micl_cli.cli.console import echo, echo_json, note, table, warn
from micl_cli.cli.context import current_settings
from micl_cli.cli.status import DownloadBars, preparing
from micl_cli.errors import UsageError

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.data.preparation import Prepared

EPILOG = """\b
Examples:
  micl prepare img_cap,aud_qa
  micl prepare my-task/ --on-error skip
  micl prepare data/*/

\b
The folder of your own task contains task.toml (name, modality, type, metric) and manifest.jsonl,
with one example per line. The media stay in the folder. The short form of a line:
  {"id": "1", "split": "train", "image": "a.png", "prompt": "…", "references": ["…"]}
The long form has texts and media in any order and number:
  {"id": "2", "split": "test", "content": [{"image": "a.png"}, {"image": "b.png"}, "…"],
   "references": ["A"], "choices": ["A", "B"], "meta": {"source": "…"}}

\b
For several modalities, write modalities = ["image", "audio"] in task.toml; for text alone, leave it
out. A task of type "choice" needs choices on every line. Other keys are stored as metadata."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("what", nargs=-1, required=True, metavar="TASKS|FOLDER...", shell_complete=complete_tasks)
@click.option("--benchmark", default="mini", help="The benchmark of task names without one.")
@click.option("--on-error", default="fail", type=click.Choice(["fail", "skip"]),
              help="What to do if media cannot be read: stop, or skip their examples.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def prepare(what: tuple[str, ...], benchmark: str, on_error: Any, as_json: bool) -> None:
    """Prepare tasks: read every medium once, count examples, and record the sha256 of all data."""
    from micl_cli.session.library import TaskLibrary

    library, bars = TaskLibrary(current_settings()), DownloadBars()
    done = []
    for name in [name for word in what for name in _names(word, benchmark)]:
        with preparing(name) as progress:
            prepared = library.prepare(name, on_error=on_error, progress=progress, tell=bars.update)
        done.append(prepared)
        for text in (*prepared.notes, *prepared.leaks):
            note(f"{prepared.task.name}: {text}")
        if prepared.refused:
            warn(f"{prepared.task.name}: {len(prepared.refused)} examples skipped\n" + _reasons(prepared))
    if as_json:
        echo_json({"tasks": [_document(prepared) for prepared in done]})
        return
    rows = [[*_facts(p.task), *_counts(p), p.task.sha256[:12], str(p.folder)] for p in done]
    echo(table(["task", "modalities", "type", "train", "val", "test", "skipped", "sha256", "folder"], rows))


def _names(word: str, benchmark: str) -> list[str]:
    """Return the path of a folder unchanged, or the full task names in "a,b"."""
    from micl_cli.plan import split_tasks

    if Path(word).is_dir():
        return [word]
    if word.startswith((".", "/", "~")) or word.endswith("/"):
        raise UsageError(f"no folder {word}", "Name a folder with task.toml and manifest.jsonl, or a task.")
    return list(split_tasks(word, benchmark))


def _reasons(prepared: Prepared) -> str:
    lines = [f"  {refused.id}: {refused.path}: {refused.reason}" for refused in prepared.refused[:20]]
    more = [f"  and {len(prepared.refused) - 20} more"] if len(prepared.refused) > 20 else []
    return "\n".join([*lines, *more])


def _facts(task: Task) -> list[str]:
    return [task.name, "+".join(sorted(task.modalities)) or "text", task.type]


def _counts(prepared: Prepared) -> list[int]:
    counts = prepared.task.counts
    return [counts.get("train", 0), counts.get("val", 0), counts.get("test", 0), len(prepared.refused)]


def _document(prepared: Prepared) -> dict[str, Any]:
    task = prepared.task
    return {
        "name": task.name,
        "modalities": sorted(task.modalities),
        "type": task.type,
        "metric": task.metric,
        "counts": dict(task.counts),
        "sha256": task.sha256,
        "folder": str(prepared.folder),
        "refused": [{"id": r.id, "path": r.path, "reason": r.reason} for r in prepared.refused],
        "notes": list(prepared.notes),
        "leaks": [leak.as_json() for leak in prepared.leaks],
    }
