"""Preparing tasks: every medium is opened once, examples are counted, and a sha256 pins them all."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from micl_cli.api.modality import Modality
from micl_cli.api.task import SPLITS, Row, Task, TaskSource
from micl_cli.data.manifest import (
    DESCRIPTION,
    MANIFEST,
    Description,
    check_row,
    description_text,
    read_description,
    read_manifest,
    write_manifest,
)
from micl_cli.data.prepared import (
    RECORD,
    FileRecord,
    Record,
    Refused,
    described,
    fingerprint,
    read_record,
    record_file,
    task_folder,
    write_record,
)
from micl_cli.data.prepared import is_prepared as is_prepared
from micl_cli.data.prepared import open_task as open_task
from micl_cli.data.prepared import prepared_tasks as prepared_tasks
from micl_cli.errors import ManifestError, MediaError, MiclError, PlanError
from micl_cli.io.files import flush

if os.name == "posix":
    import fcntl

OnError = Literal["fail", "skip"]
Progress = Callable[[int, int | None], None]
"""Called with the examples looked at so far, and with how many there are where that is known."""

MAX_ANSWERS = 64
"""Question answering with more distinct answers than this counts as open."""
_LISTED = 20


@dataclass(frozen=True)
class Prepared:
    """A prepared task, the folder of its record, the folder of its media, and what was left out."""

    task: Task
    folder: Path
    root: Path
    refused: tuple[Refused, ...] = ()


@dataclass
class _Look:
    """Looks at examples one by one and keeps what it finds. ``known`` are media looked at before."""

    root: Path
    modality: Modality
    known: Mapping[str, FileRecord] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    media: dict[str, FileRecord] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def take(self, rows: Iterable[Row], total: int | None, progress: Progress | None) -> None:
        """Open each row's medium once; rows whose medium has a fault are refused."""
        for done, row in enumerate(rows, 1):
            if row.media not in self.media and row.media not in self.faults:
                self._open(row.media)
            if row.media in self.faults:
                self.refused.append(Refused(row.id, row.media, self.faults[row.media]))
            else:
                self.rows.append(row)
            if progress:
                progress(done, total)

    def _open(self, media: str) -> None:
        path = self.root / media
        try:
            if not path.resolve().is_relative_to(self.root):
                raise MediaError("a link leads out of the task's folder")
            self.media[media] = self._record(media, path)
        except FileNotFoundError:
            self.faults[media] = "the file does not exist"
        except MediaError as error:
            self.faults[media] = error.message.removeprefix(f"{path}: ")
        except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle (Python below 3.13)
            self.faults[media] = getattr(error, "strerror", None) or str(error)

    def _record(self, media: str, path: Path) -> FileRecord:
        known = self.known.get(media)
        if known and known.same_stat(path):
            return known
        return record_file(path, self.modality.inspect(path))


def prepare_source(
    source: TaskSource,
    name: str,
    home: Path,
    modality: Modality,
    *,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Let ``source`` write its media into the task's own folder under ``home``, and pin them.

    The folder appears whole or not at all. A second process that does the same waits and takes
    what the first one made; a task that is there already stays as it is if its data is the same.

    Raises MediaError (bad media and ``on_error`` "fail"), PlanError (no train or test examples, or
    the name is taken by a user's folder), MiclError (the folder cannot be written).
    """
    target = task_folder(name, home)
    before = _stamp(target) or _stamp(_former(target))
    with _turn(target):
        _check_free(name, target, None)
        if _stamp(target) == before or not _intact(name, home):
            with _fresh(target) as fresh:
                look = _Look(fresh.resolve(), modality)
                look.take(_rows_of(source, fresh, name), None, progress)
                description, record = _concluded(look, _of_source(source, name), on_error)
                there = _intact(name, home)
                if there is None or there.sha256 != record.sha256:
                    _put(fresh, target, description, look.rows, record)
    return _prepared(name, home)


def prepare_folder(
    folder: Path,
    home: Path,
    modality: Callable[[str], Modality],
    *,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Pin the task that ``folder`` describes by ``task.toml`` and ``manifest.jsonl``.

    Its media stay where they are; nothing is written into ``folder``. ``modality`` gives a reader by
    name. Media that look untouched since the folder was last prepared are not opened again.

    Raises ManifestError, MediaError (bad media and ``on_error`` "fail"), PlanError (no train or
    test examples, or the name is taken), MiclError (``home`` cannot be written).
    """
    root = folder.resolve()
    told = read_description(root / DESCRIPTION)
    name = told.full_name
    target = task_folder(name, home)
    earlier = _check_free(name, target, root)
    rows = [entry.row for entry in read_manifest(root / MANIFEST, told.modality)]
    manifest = record_file(root / MANIFEST)
    look = _Look(root, modality(told.modality), earlier.media if earlier else {})
    look.take(rows, len(rows), progress)
    description, record = _concluded(look, told, on_error)
    record = replace(record, root=str(root), manifest=manifest, described=described(told))
    with _turn(target):
        there = _intact(name, home)
        if earlier != record or there is None or there.description != told.description:
            with _fresh(target) as fresh:
                _put(fresh, target, description, look.rows, record)
    return _prepared(name, home)


def _prepared(name: str, home: Path) -> Prepared:
    folder = task_folder(name, home)
    task, record = open_task(name, home, verify=False), read_record(folder)
    root = Path(record.root) if record and record.root else folder
    return Prepared(task, folder, root, record.refused if record else ())


# What is prepared


def _of_source(source: TaskSource, name: str) -> Description:
    benchmark, _, short = name.partition("/")
    return Description(
        name=short,
        benchmark=benchmark,
        modality=source.modality,
        kind=source.kind,
        metric=source.metric,
        description=source.description,
        instruction=source.instruction,
    )


def _rows_of(source: TaskSource, folder: Path, name: str) -> Iterator[Row]:
    """The source's rows, held to what a manifest may hold. Raises ManifestError."""
    ids: set[str] = set()
    for number, row in enumerate(source.rows(folder), 1):
        if row.id in ids:
            hint = "This is a fault of the plugin that the task comes from."
            raise ManifestError(f"{name}: example {number}: id {row.id!r} comes twice", hint)
        ids.add(row.id)
        yield check_row(row, f"{name}: example {number}")


def _concluded(look: _Look, told: Description, on_error: OnError) -> tuple[Description, Record]:
    """The task as it is after all its media were looked at. Raises MediaError, PlanError."""
    if look.refused and on_error == "fail":
        raise _refusal(told.full_name, look)
    counts = {split: sum(row.split == split for row in look.rows) for split in SPLITS}
    if empty := [split for split in ("train", "test") if not counts[split]]:
        left_out = f" ({len(look.refused)} were left out)" if look.refused else ""
        hint = "A task needs both; val may be missing, and then nothing is validated."
        raise PlanError(f"{told.full_name} has no {' and no '.join(empty)} examples{left_out}", hint)
    description = replace(told, instruction=told.instruction or _instruction(told.kind, look.rows))
    record = Record(
        sha256=fingerprint(description, look.rows, look.media),
        counts=counts,
        answers=_answers(told.kind, look.rows),
        media=look.media,
        refused=tuple(look.refused),
    )
    return description, record


def _refusal(name: str, look: _Look) -> MediaError:
    faults = [f"  {path}: {reason}" for path, reason in look.faults.items()]
    more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
    count = f"{len(faults)} of {len(faults) + len(look.media)} media files cannot be used"
    hint = "Nothing was prepared. Repair or replace them, or leave their examples out: --on-error skip"
    return MediaError("\n".join([f"{name}: {count}:", *faults[:_LISTED], *more]), hint)


def _instruction(kind: str, rows: Iterable[Row]) -> str:
    """The prompt that most training examples of a captioning task share."""
    if kind != "captioning":
        return ""
    return Counter(row.prompt for row in rows if row.split == "train").most_common(1)[0][0]


def _answers(kind: str, rows: Iterable[Row]) -> tuple[str, ...]:
    """The answers of a question answering task with a closed set of them, sorted; else none."""
    answers = {reference for row in rows for reference in row.references} if kind == "qa" else set()
    return tuple(sorted(answers)) if len(answers) <= MAX_ANSWERS else ()


# Where it is put


def _check_free(name: str, target: Path, root: Path | None) -> Record | None:
    """The record of an earlier preparation of the same data, if any.

    Raises PlanError where the name belongs to other data that is still there, or where ``root``
    is itself a prepared task.
    """
    if root and root.is_relative_to(target.parents[1].resolve()):
        raise PlanError(f"{root} is a prepared task already", "Prepare the folder that it came from.")
    try:
        earlier = read_record(target)
    except PlanError:  # Damaged: to be made anew.
        return None
    if earlier is None or earlier.root == (str(root) if root else None):
        return earlier
    if earlier.root is None or (Path(earlier.root) / MANIFEST).exists():
        hint = f"Choose another name or benchmark in {DESCRIPTION}, or delete {target} to let the former go."
        raise PlanError(f"{name} is already prepared from {earlier.root or 'the registered task of that name'}", hint)
    return None


def _intact(name: str, home: Path) -> Task | None:
    """The task if it is prepared and unchanged."""
    try:
        return open_task(name, home)
    except PlanError:
        return None


def _stamp(target: Path) -> tuple[int, int] | None:
    """Tells one preparation from the next."""
    try:
        stat = (target / RECORD).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


@contextmanager
def _turn(target: Path) -> Iterator[None]:
    """Wait until no other process prepares the same task. Raises MiclError where the disk refuses."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("a") as lock:
            if os.name == "posix":
                fcntl.flock(lock, fcntl.LOCK_EX)
            _bring_back(target)
            yield
    except OSError as error:
        hint = "Make room or make the folder writable, or choose another with --home or MICL_HOME."
        raise MiclError(f"cannot write {target}: {error.strerror or error}", hint) from error


@contextmanager
def _fresh(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target``, gone afterwards if it was not put in its place."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put(fresh: Path, target: Path, description: Description, rows: Iterable[Row], record: Record) -> None:
    """Complete ``fresh`` and let it take ``target``'s place."""
    (fresh / DESCRIPTION).write_text(description_text(description), encoding="utf-8")
    write_manifest(fresh / MANIFEST, rows, description.modality)
    write_record(fresh, record)
    # Media are not flushed one by one: what a power cut would spoil, open_task finds.
    for name in (DESCRIPTION, MANIFEST, RECORD):
        flush(fresh / name)
    old = _former(target)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        _bring_back(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _former(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _bring_back(target: Path) -> None:
    """Undo the first half of an exchange whose second half never came."""
    if not target.exists() and _former(target).exists():
        _former(target).rename(target)
