"""The tasks of a home folder: prepared, registered in the store, and opened."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.api.predictions import Prediction
from micl_cli.api.presets import FetchProgress
from micl_cli.api.reader import Reader
from micl_cli.api.task import Task
from micl_cli.data.description import DESCRIPTION
from micl_cli.data.inspection import Progress
from micl_cli.data.own.preparation import prepare_own
from micl_cli.data.own.request import OwnRequest
from micl_cli.data.preparation import OnError, Prepared, prepare_folder, prepare_source
from micl_cli.data.prepared import is_prepared, open_task, prepared_tasks, task_folder
from micl_cli.data.reading import ReadRequest, chosen_variants, prepare_published
from micl_cli.data.record import read_record
from micl_cli.data.vocabulary import check_names
from micl_cli.errors import ManifestError, PlanError, PluginError, UsageError, nearest
from micl_cli.registry import Registry
from micl_cli.session.recorder import task_record
from micl_cli.session.suggestions import folder_hint, root_hint, task_hint
from micl_cli.settings import Settings

if TYPE_CHECKING:
    from micl_cli.store import Store

Watch = Callable[[str], AbstractContextManager[Progress | None]]
"""Called with a task's name before it is prepared; returns a context that provides its progress callback."""


_log = logging.getLogger(__name__)


def silent(name: str, done: int, total: int) -> None:
    """Ignore the progress of downloads."""


def unwatched(name: str) -> AbstractContextManager[None]:
    """Show no progress."""
    return nullcontext()


class TaskLibrary:
    """The tasks of a home folder, with the registry that provides their readers and the store that lists them.

    ``jobs`` is the number of processes that open media when a task is prepared (0: one for each core).
    """

    def __init__(self, settings: Settings, registry: Registry | None = None, *, jobs: int = 0) -> None:
        self.settings, self.jobs = settings, jobs
        self.registry = registry or Registry.discover()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the run store. Raises StoreError."""
        from micl_cli.store import Store

        with Store.open(self.settings.store_url) as store:
            yield store

    def prepare(
        self,
        what: str,
        *,
        on_error: OnError = "fail",
        progress: Progress | None = None,
        tell: FetchProgress = silent,
    ) -> Prepared:
        """Prepare a registered task by full name, or the task in a user's folder, and record it in the store.

        ``tell`` is called while data of a registered task is downloaded.
        Raises PlanError, ManifestError, MediaError or PluginError.
        """
        if Path(what).is_dir():
            self._refuse_data_set(Path(what))
            prepared = prepare_folder(
                Path(what),
                self.settings.home,
                self._modality,
                registered={part.name for part in self.registry.parts("modalities")},
                check=partial(check_names, registry=self.registry),
                on_error=on_error,
                progress=progress,
                jobs=self.jobs,
            )
        else:
            prepared = self._prepare_source(what, self.settings.home, on_error, progress, tell)
        self._register(prepared)
        return prepared

    def prepare_published(
        self, names: Sequence[str], request: ReadRequest, *, on_error: OnError = "fail", watch: Watch = unwatched
    ) -> Iterator[Prepared]:
        """Prepare tasks of published benchmarks by full name from a data set on disk, and record them in the store.

        The files of all tasks are located before the first is prepared. Raises PluginError for an unknown task,
        UsageError, PlanError, ManifestError or MediaError.
        """
        request = replace(request, jobs=self.jobs)
        chosen = [(*self._reader_of(name), name) for name in names]
        for reader, task, name in chosen:
            chosen_variants(reader, task, request)
            self._locate(reader, task, name, request)
        for reader, task, name in chosen:
            with watch(name) as progress:
                prepared = prepare_published(
                    reader, task, request, self.settings.home, self._modality, on_error=on_error, progress=progress
                )
            self._register(prepared)
            yield prepared

    def check_known(self, name: str) -> None:
        """Raise PluginError if there is no such task, neither published nor registered nor prepared."""
        if self.is_published(name):
            self._reader_of(name)
        elif not is_prepared(name, self.settings.home):
            self._task_source(name)

    def prepare_own(
        self, request: OwnRequest, *, on_error: OnError = "fail", progress: Progress | None = None
    ) -> Prepared:
        """Prepare a task from user data, and record it in the store.

        Raises UsageError, PluginError, PlanError, ManifestError or MediaError.
        """
        prepared = prepare_own(
            request, self.settings.home, self.registry, on_error=on_error, progress=progress, jobs=self.jobs
        )
        self._register(prepared)
        return prepared

    def is_published(self, name: str) -> bool:
        """Return whether a reader provides the task."""
        return any(part.name == name.partition("/")[0] for part in self.registry.parts("readers"))

    def export(self, name: str, form: str, predictions: Sequence[Prediction], others: Sequence[str] = ()) -> str:
        """Return a file of predictions of a published task in a format of its reader.

        Raises UsageError, which lists ``others`` too, if it has no such format.
        """
        self.check_export(name, form, others)
        reader, task = self._reader_of(name)
        return "".join(reader.export(task, form, predictions))

    def check_export(self, name: str, form: str, others: Sequence[str] = ()) -> None:
        """Raise UsageError, which lists ``others`` too, if the predictions of a task have no such format."""
        reader, task = self._reader_of(name) if self.is_published(name) else (None, "")
        formats = (*others, *(reader.tasks[task].exports if reader else ()))
        if form not in formats:
            hint = f"{nearest(form, formats)} It has: {', '.join(formats)}.".strip()
            raise UsageError(f"the predictions of {name} have no format {form!r}", hint)

    def _reader_of(self, name: str) -> tuple[Reader, str]:
        """Return the reader of a published task, and the task's name in its benchmark. Raises PluginError."""
        benchmark, _, task = name.partition("/")
        reader: Reader = self.registry.load("readers", benchmark)()
        if task not in reader.tasks:
            hint = f"{nearest(task, reader.tasks)} Its tasks: {', '.join(reader.tasks)}.".strip()
            raise PluginError(f"benchmark {benchmark} has no task {task!r}", hint)
        metrics = reader.tasks[task].scorers.values()
        for metric in metrics:
            self.registry.find("metrics", metric)  # raises for an unknown metric before any data is read
        return reader, task

    def _locate(self, reader: Reader, task: str, name: str, request: ReadRequest) -> None:
        """Raise ManifestError, with the root that was probably meant, if the files of a task are not found."""
        try:
            reader.locate(task, request.source())
        except ManifestError as error:
            hint = root_hint(self.registry, reader, task, request)
            raise ManifestError(f"{name}: {error.message}", f"{error.hint} {hint}".strip()) from error

    def _prepare_source(
        self, name: str, home: Path, on_error: OnError, progress: Progress | None, tell: FetchProgress = silent
    ) -> Prepared:
        source = self.registry.load("tasks", name)()
        self.registry.find("metrics", source.metric)  # reports an unknown metric before any data is prepared
        source = source.fetch(self.settings.downloads, tell)
        return prepare_source(source, name, home, self._modality, on_error=on_error, progress=progress)

    def _modality(self, name: str) -> Any:
        return self.registry.load("modalities", name)()

    def _register(self, prepared: Prepared) -> None:
        with self.store() as store:
            store.record_task(task_record(prepared.task, prepared.folder))

    def register_missing(self, tasks: Sequence[Task], store: Store) -> None:
        """Record tasks that are prepared, but not in the store: `prepare` was killed in between."""
        for task in tasks:
            recorded = store.task(task.name)
            if recorded is None or recorded.sha256 != task.sha256:
                store.record_task(task_record(task, task_folder(task.name, self.settings.home)))

    def open_tasks(self, names: Sequence[str], *, dry: bool = False, watch: Watch = unwatched) -> list[Task]:
        """Open prepared tasks, after preparing embedded ones that are missing.

        ``dry`` prepares them in a temporary folder to compute their sha256, and writes nothing else.
        Raises PlanError if a task is not prepared and not embedded, or if its data has changed;
        PluginError if there is no such task.
        """
        missing = [name for name in names if not is_prepared(name, self.settings.home)]
        _log.info("opening tasks %s in %s", ", ".join(names), self.settings.tasks)
        self._refuse_unread([name for name in missing if self.is_published(name)])
        for name in missing:
            self._task_source(name)  # reports an unknown task before any is prepared
        return [self._open(name, dry, watch) for name in names]

    def open_recorded(self, name: str) -> Task:
        """Open a prepared task without checking its media, which may have been moved.

        An embedded task that is missing is prepared. Raises PlanError or PluginError.
        """
        if is_prepared(name, self.settings.home):
            return open_task(name, self.settings.home, verify=False)
        return self.open_tasks([name])[0]

    def _open(self, name: str, dry: bool, watch: Watch) -> Task:
        if is_prepared(name, self.settings.home) or not self._task_source(name).embedded:
            self._refuse_shadowing(name)
            return open_task(name, self.settings.home)  # its error says how to prepare the task
        with watch(name) as progress:
            if dry:
                with tempfile.TemporaryDirectory() as folder:
                    return self._prepare_source(name, Path(folder), "fail", progress).task
            prepared = self._prepare_source(name, self.settings.home, "fail", progress)
        self._register(prepared)
        return prepared.task

    def _refuse_data_set(self, folder: Path) -> None:
        """Raise ManifestError if a folder contains no task, but a data set that a reader reads."""
        if not (folder / DESCRIPTION).exists() and (hint := folder_hint(self.registry, folder)):
            raise ManifestError(f"{folder} contains no task: it has no {DESCRIPTION}", hint)

    def _refuse_unread(self, names: Sequence[str]) -> None:
        """Raise PlanError if there are published tasks, none of which is prepared; PluginError for an unknown one."""
        for name in names:
            self._reader_of(name)
        if names:
            first = names[0].partition("/")[0]
            together = ",".join(name for name in names if name.startswith(f"{first}/"))
            what = f"{names[0]} is not prepared" if len(names) == 1 else f"{', '.join(names)} are not prepared"
            raise PlanError(what, f"Prepare {'it' if len(names) == 1 else 'them'}: micl prepare {together} --root DIR")

    def _refuse_shadowing(self, name: str) -> None:
        """Raise PlanError if a user's folder was prepared under the name of a registered task."""
        if name not in {part.name for part in self.registry.parts("tasks")}:
            return
        folder = task_folder(name, self.settings.home)
        record = read_record(folder)
        if record and record.root:
            hint = f"Choose another benchmark in its task.toml and prepare it again; delete {folder}."
            raise PlanError(f"{name} is the name of a registered task, but was prepared from {record.root}", hint)

    def _task_source(self, name: str) -> type[Any]:
        registered = {part.name for part in self.registry.parts("tasks")}
        if name not in registered:
            raise PluginError(f"no task {name!r}", task_hint(self.registry, name, prepared_tasks(self.settings.home)))
        return self.registry.load("tasks", name)
