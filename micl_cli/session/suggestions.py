"""Hints about what was probably meant: another root of a data set, or another task."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from micl_cli.api.reader import Reader
from micl_cli.data.layouts import recognise
from micl_cli.data.path_hint import path_hint
from micl_cli.data.reading import ReadRequest
from micl_cli.errors import MiclError, PluginError, nearest
from micl_cli.registry import Registry

_SUBFOLDERS = 200
_LISTING = "`micl tasks` lists tasks; `micl prepare FOLDER` prepares your own."


def root_hint(registry: Registry, reader: Reader, task: str, request: ReadRequest) -> str:
    """Return what a user can do whose --root lacks the files of a task.

    It may be one level too high or too low, lack some tasks of the benchmark only, or be another data set.
    """
    near = next((path for path in _near(request.root) if _is_located(reader, task, replace(request, root=path))), None)
    if near:
        return f"Did you mean --root {shlex.quote(str(near))}?"
    is_own = recognise(request.root, {reader.title: reader.marks}, {})
    likeness = "" if is_own else recognise(request.root, _marks(registry, reader.benchmark))
    if likeness:  # suites have files of the same names: tasks found here would be another suite's
        return likeness
    if present := [each for each in reader.tasks if _is_located(reader, each, request)]:
        names = ",".join(f"{reader.benchmark}/{each}" for each in present)
        return f"The files of other tasks are there, which can be prepared without it: micl prepare {names}"
    return f"--root is the folder of {reader.title}, as it was published."


def folder_hint(registry: Registry, folder: Path) -> str:
    """Return how to prepare the data set in a folder, or an empty text if it is not known."""
    readers = {part.name: _reader(registry, part.name) for part in registry.parts("readers")}
    names = [name for name, each in readers.items() if each and recognise(folder, {each.title: each.marks}, {})]
    commands = [f"micl prepare {name} --root {shlex.quote(str(folder))}" for name in names]
    return f"It looks like the data set of a published benchmark: {', or '.join(commands)}" if names else ""


def task_hint(registry: Registry, name: str, prepared: Iterable[str]) -> str:
    """Return which task was probably meant by a name that no task has."""
    short = name.rpartition("/")[2]
    if tasks := _tasks_of(registry, short):
        return f"{short} is a benchmark; name one of its tasks: {', '.join(tasks)}"
    known = {*(part.name for part in registry.parts("tasks")), *prepared, *_published(registry)}
    namesakes = sorted(each for each in known if each.rpartition("/")[2] == short)
    benchmarks = sorted({each.partition("/")[0] for each in known if each.startswith(short)})
    meant = (namesakes or benchmarks)[:3]
    if not meant and (hint := path_hint(name)):
        return hint
    guess = f"Did you mean {' or '.join(map(repr, meant))}?" if meant else nearest(name, known)
    return f"{guess} {_LISTING}".strip()


def _near(root: Path) -> Iterator[Path]:
    """Yield the folders in ``root``, and the two that it is in."""
    try:
        yield from sorted(path for path in islice(root.iterdir(), _SUBFOLDERS) if path.is_dir())
    except OSError:
        return
    yield from root.resolve().parents[:2]


def _is_located(reader: Reader, task: str, request: ReadRequest) -> bool:
    try:
        reader.locate(task, request.source())
    except (MiclError, OSError):
        return False
    return True


def _marks(registry: Registry, without: str) -> dict[str, tuple[str, ...]]:
    """Return the paths that tell the data sets of other benchmarks, by title."""
    readers = {part.name: _reader(registry, part.name) for part in registry.parts("readers") if part.name != without}
    return {f"{reader.title} ({name})": reader.marks for name, reader in readers.items() if reader}


def _tasks_of(registry: Registry, benchmark: str) -> tuple[str, ...]:
    try:
        return registry.benchmark_tasks(benchmark)
    except MiclError:
        return ()


def _published(registry: Registry) -> Iterator[str]:
    for part in registry.parts("readers"):
        yield from _tasks_of(registry, part.name)


def _reader(registry: Registry, name: str) -> type[Reader] | None:
    """Return a reader, or None if its plugin is broken."""
    try:
        reader: type[Reader] = registry.load("readers", name)
    except PluginError:
        return None
    return reader
