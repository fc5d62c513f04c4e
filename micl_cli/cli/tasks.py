"""``micl tasks``: list, show, create and remove tasks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.completers import complete_benchmarks, complete_tasks
from micl_cli.cli.console import echo, echo_json, escape, fail, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import DefaultGroup
from micl_cli.cli.plan_options import benchmark_option
from micl_cli.errors import MiclError, UsageError

if TYPE_CHECKING:
    from micl_cli.api.task import Example
    from micl_cli.session.catalogue import TaskEntry
    from micl_cli.session.library import TaskLibrary

SPLITS = ("train", "val", "test")


@click.group(cls=DefaultGroup)
def tasks() -> None:
    """List tasks (the default), show a task, create a template for one of your own, or remove a prepared task.

    \b
    Examples:
      micl tasks --benchmark mini
      micl tasks show mini/img_qa --examples 2
      micl tasks new my-task --modality image --type qa
    """


@tasks.command("ls")
@click.option("--benchmark", shell_complete=complete_benchmarks, help="Only list the tasks of a benchmark.")
@click.option("--prepared", is_flag=True, help="Only list prepared tasks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_tasks(benchmark: str | None, prepared: bool, as_json: bool) -> None:
    """List the tasks of plugins, of published benchmarks and of your own, with the state of each.

    \b
    Example: micl tasks ls --prepared --json | jq -r .tasks[].name
    """
    from micl_cli.session.catalogue import ABSENT, catalogue

    entries = [each for each in catalogue(_library(), benchmark) if not prepared or each.state != ABSENT]
    if as_json:
        echo_json({"tasks": [entry.as_json() for entry in entries]})
        return
    if not entries:
        note("no tasks; `micl tasks` lists all")
        return
    rows = [
        [e.name, "+".join(e.modalities) or "text", e.type, e.metric, e.origin, e.state, *map(e.counts.get, SPLITS)]
        for e in entries
    ]
    echo(table(["task", "modalities", "type", "metric", "from", "state", *SPLITS], rows))


@tasks.command("show")
@click.argument("name", shell_complete=complete_tasks)
@benchmark_option
@click.option("--examples", default=3, type=click.IntRange(0), help="Number of examples of each split to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show_task(name: str, benchmark: str, examples: int, as_json: bool) -> None:
    """Show the properties of a task, its published and prepared numbers of examples, and a few examples.

    \b
    Example: micl tasks show mllm-cl-domain/rs --examples 1
    """
    from micl_cli.plan import full_name
    from micl_cli.session.catalogue import READY, entry_of

    library = _library()
    entry = entry_of(library, full_name(name, benchmark))
    facts = _facts(library, entry)
    shown = list(_examples(library, entry.name, examples)) if entry.state == READY else []
    if as_json:
        texts = [{"split": split, **_example_json(example)} for split, example in shown]
        echo_json({**entry.as_json(), "facts": facts, "examples": texts})
        return
    echo(table(["what", "value"], [[key, value] for key, value in facts.items() if value]))
    if entry.counts or entry.published:
        echo()
        echo(table(["examples", *SPLITS], _counts(entry)))
    for split, example in shown:
        echo()
        echo("\n".join(_lines(split, example)))


@tasks.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--modality", "modalities", multiple=True, metavar="NAME",
              help="A modality of the task, such as image; may be repeated. By default text alone.")  # fmt: skip
@click.option("--type", "task_type", default="qa", help="captioning, qa, choice, or a type that a plugin declares.")
@click.option("--metric", default="", help="The metric; by default that of the type.")
@click.option("--name", default="", help="The name of the task; by default that of the folder.")
def new_task(folder: Path, modalities: tuple[str, ...], task_type: str, metric: str, name: str) -> None:
    """Write task.toml, and a manifest.jsonl with a sample line for each split to replace with your own examples.

    Files that exist are never changed.

    \b
    Example: micl tasks new my-task --modality image --type qa
    """
    from micl_cli.data.description import DESCRIPTION
    from micl_cli.data.template import describe_template, write_template
    from micl_cli.data.vocabulary import check_names

    registry = _library().registry
    for modality in modalities:
        registry.find("modalities", modality)
    description = describe_template(folder, name, modalities, task_type, metric)
    check_names(description, folder / DESCRIPTION, registry)
    write_template(folder, description)
    echo(escape(str(folder)))
    media = f"your media into {folder / 'media'} and " if modalities else ""
    command = shlex.join(["micl", "prepare", str(folder)])
    note(f"Put {media}your examples into {folder / 'manifest.jsonl'}, then: {command}")


@tasks.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="TASK...", shell_complete=complete_tasks)
@benchmark_option
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--force", is_flag=True, help="Also remove tasks that runs use.")
def remove_tasks(names: tuple[str, ...], benchmark: str, yes: bool, force: bool) -> None:
    """Remove prepared tasks from the home folder. Your own folders and data sets are not touched.

    \b
    Example: micl tasks rm own/my-task --yes
    """
    from micl_cli.plan import full_name
    from micl_cli.session import Session
    from micl_cli.session.task_removal import remove_task

    session = Session(current_settings())
    chosen = list(dict.fromkeys(full_name(name, benchmark) for name in names))
    if not yes and not click.confirm(f"Remove {', '.join(map(escape, chosen))} from the home folder?", err=True):
        raise UsageError("nothing was removed", "Answer yes, or use --yes.")
    failed: list[MiclError] = []
    for name in chosen:
        try:
            remove_task(session, name, force=force)
        except MiclError as error:
            failed.append(error)
            if len(chosen) > 1:
                fail(error.message, error.hint)
        else:
            note(f"removed {name}")
    if failed:
        raise failed[0] if len(chosen) == 1 else MiclError(f"{len(failed)} of {len(chosen)} tasks were not removed")


def _library() -> TaskLibrary:
    from micl_cli.session.library import TaskLibrary

    return TaskLibrary(current_settings())


def _facts(library: TaskLibrary, entry: TaskEntry) -> dict[str, str]:
    """Return the properties of a task as texts; unknown ones are empty."""
    from micl_cli.session.catalogue import reader_task

    facts = {
        "task": entry.name,
        "description": entry.description,
        "modalities": "+".join(entry.modalities) or "text",
        "type": entry.type,
        "metric": entry.metric,
        "from": entry.origin,
        "state": entry.state or "not prepared",
        **(_prepared_facts(library, entry.name) if entry.state else {}),
    }
    published = reader_task(library, entry.name)
    if published:
        reader, task = published
        facts |= {
            "benchmark": reader.title,
            "prompt variants": ", ".join(task.prompts),
            "scorer variants": ", ".join(f"{variant} ({metric})" for variant, metric in task.scorers.items()),
            "answer length": f"{task.max_new_tokens} tokens" if task.max_new_tokens else "",
            "formats": ", ".join(task.exports),
            "note": task.note,
            "data": reader.origin,
            "licence": reader.licence,
            "citation": reader.citation,
        }
    return facts


def _prepared_facts(library: TaskLibrary, name: str) -> dict[str, str]:
    """Return the folder and origin of a prepared task, as far as its files can be read."""
    from micl_cli.data.description import DESCRIPTION, read_description
    from micl_cli.data.prepared import task_folder
    from micl_cli.data.record import read_record

    folder = task_folder(name, library.settings.home)
    facts = {"folder": str(folder)}
    try:
        record, own = read_record(folder), read_description(folder / DESCRIPTION)
    except MiclError as error:
        return {**facts, "problem": error.message}
    if record is None:
        return facts
    source = record.source
    return {
        **facts,
        "media": record.root or str(folder),
        "data set": source.root if source else "",
        "prompts": own.prompts,
        "scorer": own.scorer,
        "skipped": f"{len(record.refused)} examples" if record.refused else "",
        "sha256": record.sha256,
        "prepared by": record.command(name),
    }


def _counts(entry: TaskEntry) -> list[list[Any]]:
    marked = {
        split: f"{count:,}{' (unverified)' * (split in entry.unverified)}" for split, count in entry.published.items()
    }
    rows = [["published", *(marked.get(split, "") for split in SPLITS)]] if marked else []
    prepared = ["prepared", *(f"{entry.counts[split]:,}" if split in entry.counts else "" for split in SPLITS)]
    return [*rows, prepared] if entry.counts else rows


def _examples(library: TaskLibrary, name: str, count: int) -> Iterator[tuple[str, Example]]:
    """Yield the first examples of each split of a prepared task, also if its media have been moved."""
    task = library.open_recorded(name)
    for split in SPLITS if count else ():
        yield from ((split, example) for example in task.examples(split)[:count])


def _example_json(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "media": [{"modality": medium.modality, "path": str(medium.path)} for medium in example.media],
        "prompt": example.prompt,
        "references": list(example.references),
        "choices": list(example.choices),
        "meta": dict(example.meta),
    }


def _lines(split: str, example: Example) -> Iterator[str]:
    yield escape(f"{split} {example.id}")
    texts = [(medium.modality, str(medium.path)) for medium in example.media]
    texts += [("prompt", example.prompt), ("references", " | ".join(example.references))]
    texts += [("choices", " | ".join(example.choices))] if example.choices else []
    yield from (f"  {escape(name):<10}  {escape(text)}" for name, text in texts)
