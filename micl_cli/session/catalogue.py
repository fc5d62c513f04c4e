"""The catalogue of tasks: registered by plugins, of published benchmarks, and prepared in this home folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from micl_cli.data.description import DESCRIPTION, read_description
from micl_cli.data.prepared import is_prepared, prepared_tasks, task_folder
from micl_cli.data.record import read_record
from micl_cli.errors import ManifestError, PlanError, PluginError, nearest
from micl_cli.registry import Part
from micl_cli.store import Store, exists

if TYPE_CHECKING:
    from micl_cli.api.reader import Reader, ReaderTask
    from micl_cli.session.library import TaskLibrary

READY, ABSENT, DAMAGED = "prepared", "", "damaged"
"""States of a task in the catalogue."""
OWN = "own data"
"""The origin of tasks that no plugin provides."""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A task of the catalogue.

    ``origin`` is the plugin or reader that provides it. ``state`` is "prepared", "damaged" or empty. ``counts`` holds
    the number of prepared examples by split, ``published`` the published ones, and ``unverified`` the splits whose
    published number could not be verified. ``prompts`` and ``scorers`` are the available variants.
    """

    name: str
    modalities: tuple[str, ...]
    type: str
    metric: str
    origin: str
    state: str = ABSENT
    description: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)
    unverified: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    scorers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return asdict(self)


def catalogue(library: TaskLibrary, benchmark: str | None = None) -> list[TaskEntry]:
    """Return all tasks, or those of one benchmark: registered, then published, then other prepared ones."""
    home = library.settings.home
    counts = _stored_counts(library)
    offered = {entry.name: entry for entry in _offered(library)}
    names = [*offered, *(name for name in prepared_tasks(home) if name not in offered)]
    chosen = [name for name in names if benchmark in (None, name.partition("/")[0])]
    return [_with_state(library, name, offered.get(name), counts) for name in chosen]


def entry_of(library: TaskLibrary, name: str) -> TaskEntry:
    """Return the entry of one task. Raises PluginError if there is no such task."""
    for entry in catalogue(library, name.partition("/")[0]):
        if entry.name == name:
            return entry
    known = [entry.name for entry in catalogue(library)]
    raise PluginError(f"no task {name!r}", f"{nearest(name, known)} `micl tasks` lists them.".strip())


def reader_task(library: TaskLibrary, name: str) -> tuple[Reader, ReaderTask] | None:
    """Return the reader of a published task with its facts, or None if no reader provides it."""
    benchmark, _, short = name.partition("/")
    if not library.is_published(name):
        return None
    reader: Reader = library.registry.load("readers", benchmark)()
    return (reader, reader.tasks[short]) if short in reader.tasks else None


def _offered(library: TaskLibrary) -> Iterator[TaskEntry]:
    """Yield the tasks that plugins provide. Broken plugins are skipped; `micl plugins` lists them."""
    registry = library.registry
    for part in (*registry.parts("tasks"), *registry.parts("readers")):
        if part.state == "ok":
            try:
                cls = registry.load(part.kind, part.name)
            except PluginError:
                continue
            yield from _of_reader(cls, part) if part.kind == "readers" else [_of_source(cls, part)]


def _of_source(source: Any, part: Part) -> TaskEntry:
    return TaskEntry(
        name=part.name,
        modalities=tuple(sorted(source.modalities)),
        type=source.type,
        metric=source.metric,
        origin=f"plugin {part.distribution}",
        description=source.description or part.summary,
    )


def _of_reader(reader: type[Reader], part: Part) -> Iterator[TaskEntry]:
    for name, task in reader.tasks.items():
        yield TaskEntry(
            name=f"{part.name}/{name}",
            modalities=tuple(sorted(task.modalities)),
            type=task.type,
            metric=next(iter(task.scorers.values())),
            origin=f"reader {part.name}",
            description=task.description,
            published={split: count.examples for split, count in task.counts.items()},
            unverified=tuple(split for split, count in task.counts.items() if not count.verified),
            prompts=task.prompts,
            scorers=dict(task.scorers),
        )


def _with_state(
    library: TaskLibrary, name: str, offered: TaskEntry | None, counts: Mapping[str, Mapping[str, int]]
) -> TaskEntry:
    """Return the entry of a task with its state and prepared counts."""
    home = library.settings.home
    if not is_prepared(name, home):
        assert offered
        return offered
    folder = task_folder(name, home)
    base = offered or TaskEntry(name=name, modalities=(), type="", metric="", origin=OWN)
    try:
        own = read_description(folder / DESCRIPTION)
        record = None if name in counts else read_record(folder)
    except (ManifestError, PlanError):
        return replace(base, state=DAMAGED)
    return replace(
        base,
        modalities=tuple(sorted(own.modalities)),
        type=own.type,
        metric=own.metric,
        description=own.description or base.description,
        counts=dict(record.counts if record else counts.get(name, {})),
        state=READY,
    )


def _stored_counts(library: TaskLibrary) -> dict[str, Mapping[str, int]]:
    """Return the example counts of prepared tasks from the store, which is faster than reading large records."""
    url = library.settings.store_url
    if not exists(url):
        return {}
    with Store.open_to_read(url) as store:
        return {task.name: task.counts for task in store.tasks()}
