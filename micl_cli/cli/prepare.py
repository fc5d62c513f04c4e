"""``micl prepare``: prepare tasks for learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_tasks
from micl_cli.cli.console import echo, echo_json, note, table, warn
from micl_cli.cli.context import current_settings
from micl_cli.cli.own_options import NAMES as OWN_NAMES
from micl_cli.cli.own_options import own_options, own_request, refuse_without_inputs
from micl_cli.cli.plan_options import benchmark_option
from micl_cli.cli.status import DownloadBars, preparing
from micl_cli.errors import MiclError, UsageError

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.data.preparation import Prepared
    from micl_cli.session.library import TaskLibrary

EPILOG = """\b
Examples:
  micl prepare img_cap,aud_qa
  micl prepare my-task/ --on-error skip
  micl prepare data/*/
  micl prepare micl/img_cap --root ~/data/flickr30k
  micl prepare mllm-cl-domain --root ~/data/MLLM-CL --limit 1000 --val 200
  micl prepare --from birds.csv --as own/birds --split 80/10/10
  micl prepare --from train=a.jsonl --from test=b.jsonl --as own/chats --media-root ~/pictures

\b
The tasks of a published benchmark are read from the data set on your disk, under --root; its files
are never changed. The name of a benchmark stands for all its tasks.

\b
Data of your own is read by --from and becomes the task --as: csv, tsv, json, parquet, COCO, VQA,
conversations, folders of images or sounds, and what the `datasets` library opens.

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
@click.argument("what", nargs=-1, metavar="[TASKS|FOLDER...]", shell_complete=complete_tasks)
@benchmark_option
@click.option("--root", type=click.Path(path_type=Path), help="The folder of a published data set.")
@click.option("--media-root", type=click.Path(path_type=Path),
              help="The folder that paths of media are relative to; by default --root, or that of --from.")  # fmt: skip
@click.option("--prompts", help="The prompt variant: published, file (those in the files), or another one.")
@click.option("--scorer", help="The scorer variant: release (the rule of the authors), strict, or another one.")
@click.option("--limit", type=click.IntRange(1),
              help="Maximum number of examples of each split, the same subset on every machine.")  # fmt: skip
@click.option("--val", type=click.IntRange(1),
              help="Training examples to set aside for validation, if the data has no val split.")  # fmt: skip
@click.option("--on-error", default="fail", type=click.Choice(["fail", "skip"]),
              help="What to do with examples that cannot be used: stop, or skip them.")  # fmt: skip
@own_options
@click.option("--jobs", default=0, type=click.IntRange(0), help="Processes that open media; 0: one for each core.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def prepare(what: tuple[str, ...], benchmark: str, on_error: Any, jobs: int, as_json: bool, **given: Any) -> None:
    """Prepare tasks: read every medium once, count examples, and record the sha256 of all data."""
    from micl_cli.session.library import TaskLibrary

    library = TaskLibrary(current_settings(), jobs=jobs)
    own = {name: given.pop(name) for name in OWN_NAMES}
    done: list[Prepared] = []
    for prepared in _telling(_chosen(library, what, benchmark, own, given, on_error), done):
        for text in (*prepared.notes, *prepared.leaks):
            note(f"{prepared.task.name}: {text}")
        if prepared.refused:
            warn(f"{prepared.task.name}: {len(prepared.refused)} examples skipped\n" + _reasons(prepared))
    if as_json:
        echo_json({"tasks": [_document(prepared) for prepared in done]})
        return
    rows = [[*_facts(p.task), *_counts(p), p.task.sha256[:12], str(p.folder)] for p in done]
    echo(table(["task", "modalities", "type", "train", "val", "test", "skipped", "sha256", "folder"], rows))


def _telling(preparing: Iterator[Prepared], done: list[Prepared]) -> Iterator[Prepared]:
    """Add tasks to ``done``, and tell which are if it ends early."""
    try:
        for prepared in preparing:
            done.append(prepared)
            yield prepared
    except (MiclError, KeyboardInterrupt):
        if done:
            note(f"prepared before: {', '.join(prepared.task.name for prepared in done)}")
        raise


def _chosen(
    library: TaskLibrary,
    what: tuple[str, ...],
    benchmark: str,
    own: Mapping[str, Any],
    reading: Mapping[str, Any],
    on_error: Any,
) -> Iterator[Prepared]:
    """Prepare the task of --from, or the named tasks."""
    if own["inputs"]:
        if what:
            raise UsageError(f"both {what[0]} and --from are given", "Prepare them one after the other.")
        request = own_request(own, reading)
        with preparing(request.name) as progress:
            prepared = library.prepare_own(request, on_error=on_error, progress=progress)
        yield prepared
        return
    refuse_without_inputs(own)
    if not what:
        raise UsageError("nothing to prepare is named", "Name tasks or a folder, or data of your own: --from FILE")
    yield from _prepared(library, _names(what, benchmark, library), reading, on_error)


def _names(words: Sequence[str], benchmark: str, library: TaskLibrary) -> list[str]:
    """Return the paths of folders unchanged, and the full names of tasks in order."""
    from micl_cli.data.description import is_full_name
    from micl_cli.data.path_hint import path_hint
    from micl_cli.plan import full_name, split_tasks

    names = []
    for word in words:
        if Path(word).is_dir() and not library.registry.benchmark_tasks(word):
            names.append(word)
        elif Path(word).is_file() and not is_full_name(full_name(word, benchmark)):
            raise UsageError(f"{word} is a file, and not the name of a task", path_hint(word))
        elif word.startswith((".", "/", "~")) or word.endswith("/"):
            raise UsageError(f"no folder {word}", "Name a folder with task.toml and manifest.jsonl, or a task.")
        else:
            names += split_tasks(word, benchmark, library.registry)
    return names


def _prepared(
    library: TaskLibrary, names: Sequence[str], reading: Mapping[str, Any], on_error: Any
) -> Iterator[Prepared]:
    """Prepare tasks one after the other: published ones from --root, others from their source or folder."""
    from micl_cli.data.reading import ReadRequest

    published = [name for name in names if library.is_published(name)]
    given = [f"--{name.replace('_', '-')}" for name, value in reading.items() if value is not None]
    if given and len(published) < len(names):
        other = next(name for name in names if name not in published)
        if not Path(other).is_dir():
            library.check_known(other)
        raise UsageError(f"{', '.join(given)} cannot be used for {other}", "It is for published benchmarks.")
    if published and reading["root"] is None:
        hint = f"Name the folder of the data set: micl prepare {published[0]} --root DIR"
        raise UsageError(f"{published[0]} is read from a data set on your disk, and --root is missing", hint)
    if published:
        yield from library.prepare_published(names, ReadRequest(**reading), on_error=on_error, watch=preparing)
        return
    bars = DownloadBars()
    for name in names:
        with preparing(name) as progress:
            prepared = library.prepare(name, on_error=on_error, progress=progress, tell=bars.update)
        yield prepared


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
        "prompts": task.prompts,
        "scorer": task.scorer,
        "notes": list(prepared.notes),
        "leaks": [leak.as_json() for leak in prepared.leaks],
    }
