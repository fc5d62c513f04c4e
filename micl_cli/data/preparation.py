"""Preparation of tasks: every medium is opened once, examples are counted, and a sha256 over all data is recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from micl_cli.api.modality import Modality
from micl_cli.api.task import CAPTIONING, QA, SPLITS, Row, Task, TaskSource
from micl_cli.data.description import DESCRIPTION, MANIFEST, Description, read_description
from micl_cli.data.inspection import Inspection, Progress, medium_keys
from micl_cli.data.inspectors import MediumKey, default_jobs
from micl_cli.data.leaks import Leak, find_leaks
from micl_cli.data.manifest import Entry, check_row, read_manifest
from micl_cli.data.placement import (
    check_name_is_free,
    exclusive,
    fresh_folder,
    journal_path,
    open_if_intact,
    replace_folder,
    stamp,
    writable,
)
from micl_cli.data.prepared import (
    description_sha256,
    fingerprint,
    longest_reference,
    open_with_record,
    task_folder,
    task_toml_sha256,
)
from micl_cli.data.prepared import is_prepared as is_prepared
from micl_cli.data.prepared import open_task as open_task
from micl_cli.data.prepared import prepared_tasks as prepared_tasks
from micl_cli.data.record import FileRecord, Record, Refused, SourceRecord, record_file
from micl_cli.errors import ManifestError, MediaError, PlanError

OnError = Literal["fail", "skip"]
ModalityLoader = Callable[[str], Modality]
"""Returns the reader of a modality by name. Raises PluginError."""
DescriptionCheck = Callable[[Description, Path], None]
"""Raises ManifestError for a description that must not be prepared, given its path."""

MAX_ANSWERS = 64
"""The maximum number of distinct answers of a question answering task with a closed set of answers."""
_LISTED = 20
_LISTED_KEYS = 8


@dataclass(frozen=True)
class Prepared:
    """A prepared task: the folder of its record, the folder of its media (``root``), and the skipped examples.

    ``notes`` are messages about the manifest for the user, ``leaks`` what its splits have in common. ``source`` records
    the data set that a reader read, if there is one.
    """

    task: Task
    folder: Path
    root: Path
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    source: SourceRecord | None = None


def prepare_source(
    source: TaskSource,
    name: str,
    home: Path,
    modality: ModalityLoader,
    *,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Let ``source`` write its media into the folder of the task under ``home``, and record their sha256.

    The folder is replaced atomically. A second process that prepares the same task waits and uses
    the result of the first one. A prepared task with the same data is not changed.

    Raises MediaError (bad media and ``on_error`` "fail"), ManifestError (an invalid row), PlanError (no train or test
    examples, or the name is used for a user's folder), MiclError (the folder cannot be written).
    """
    target = task_folder(name, home)
    before = stamp(target)
    with exclusive(target):
        check_name_is_free(name, target, None)
        if stamp(target) == before or not open_if_intact(name, home):
            declared = _source_description(source, name)
            with fresh_folder(target) as fresh:
                inspection = Inspection(fresh.resolve(), readers_of(declared, modality))
                inspection.inspect(_source_rows(source, fresh, declared), progress)
                description, record = conclude(inspection, declared, on_error)
                present = open_if_intact(name, home)
                if present is None or present.sha256 != record.sha256:
                    replace_folder(fresh, target, description, inspection.rows, record)
    return opened(name, home)


def prepare_folder(
    folder: Path,
    home: Path,
    modality: ModalityLoader,
    *,
    registered: Iterable[str] = (),
    check: DescriptionCheck | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
    jobs: int = 0,
) -> Prepared:
    """Prepare the task that ``task.toml`` and ``manifest.jsonl`` in ``folder`` describe, and record its sha256.

    Its media stay where they are; nothing is written into ``folder``. ``registered`` names all installed modalities;
    ``check`` may reject the description. ``jobs`` is the number of processes that open media (0: one for each core).
    Media whose size and time have not changed since the last preparation are not opened again.

    Raises ManifestError, MediaError (bad media and ``on_error`` "fail"), PlanError (no train or
    test examples, or the name is in use), MiclError (``home`` cannot be written).
    """
    root = folder.resolve()
    declared = read_description(root / DESCRIPTION)
    if check:
        check(declared, root / DESCRIPTION)
    name = declared.full_name
    target = task_folder(name, home)
    earlier = check_name_is_free(name, target, root)
    entries = list(read_manifest(root / MANIFEST, declared, frozenset(registered)))
    manifest = record_file(root / MANIFEST)
    inspection = Inspection(root, readers_of(declared, modality), known_media(earlier, target))
    rows = [entry.row for entry in entries]
    with writable(target):
        inspection.inspect_all(rows, progress, jobs=jobs or default_jobs(), journal_path=journal_path(target))
    description, record = conclude(inspection, declared, on_error)
    record = replace(record, root=str(root), manifest=manifest, described=description_sha256(declared))
    with exclusive(target):
        present = open_if_intact(name, home)
        if earlier != record or present is None or present.description != declared.description:
            with fresh_folder(target) as fresh:
                replace_folder(fresh, target, description, inspection.rows, record)
    return replace(opened(name, home), notes=_notes(entries))


def opened(name: str, home: Path) -> Prepared:
    """Open a task that has just been prepared. Raises PlanError if it is damaged."""
    folder = task_folder(name, home)
    task, record = open_with_record(name, home, verify=False)
    root = Path(record.root) if record.root else folder
    return Prepared(task, folder, root, record.refused, leaks=find_leaks(task), source=record.source)


def readers_of(description: Description, modality: ModalityLoader) -> dict[str, Modality]:
    """Return the media reader of each modality of a task. Raises PluginError."""
    return {name: modality(name) for name in sorted(description.modalities)}


def known_media(earlier: Record | None, target: Path) -> Mapping[MediumKey, FileRecord]:
    """Return the file records of an earlier preparation, or none if its manifest cannot be read."""
    if earlier is None:
        return {}
    try:
        rows = [entry.row for entry in read_manifest(target / MANIFEST, read_description(target / DESCRIPTION))]
    except ManifestError:
        return {}
    keys = {key for row in rows for key in medium_keys(row)}
    return {key: earlier.media[key[1]] for key in keys if key[1] in earlier.media}


def _notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return a note about the extra keys that were moved to the metadata, if there are any."""
    lines = sum(bool(entry.extra_keys) for entry in entries)
    keys = list(dict.fromkeys(key for entry in entries for key in entry.extra_keys))
    if not keys:
        return ()
    more = f" and {len(keys) - _LISTED_KEYS} more" if len(keys) > _LISTED_KEYS else ""
    count = f"{lines} lines have" if lines > 1 else "1 line has"
    return (f"{count} extra keys, stored as metadata: {', '.join(keys[:_LISTED_KEYS])}{more}",)


# The content of a prepared task


def _source_description(source: TaskSource, name: str) -> Description:
    benchmark, _, short = name.partition("/")
    return Description(
        name=short,
        benchmark=benchmark,
        modalities=frozenset(source.modalities),
        type=source.type,
        metric=source.metric,
        description=source.description,
        instruction=source.instruction,
    )


def _source_rows(source: TaskSource, folder: Path, description: Description) -> Iterator[Row]:
    """Yield the rows of a source, checked like those of a manifest. Raises ManifestError."""
    ids: set[str] = set()
    for number, row in enumerate(source.rows(folder), 1):
        where = f"{description.full_name}: example {number}"
        if row.id in ids:
            hint = "This is an error in the plugin that provides the task."
            raise ManifestError(f"{where}: duplicate id {row.id!r}", hint)
        ids.add(row.id)
        yield check_row(row, description, where)


def conclude(
    inspection: Inspection, declared: Description, on_error: OnError, required: Sequence[str] = ("train", "test")
) -> tuple[Description, Record]:
    """Return the description and record of a task after the inspection of its media.

    Raises MediaError; PlanError if one of the ``required`` splits has no examples.
    """
    rows, refused = inspection.rows, inspection.refused
    if refused and on_error == "fail":
        raise _media_error(declared.full_name, inspection)
    counts = {split: sum(row.split == split for row in rows) for split in SPLITS}
    if empty := [split for split in required if not counts[split]]:
        skipped = f" ({len(refused)} were skipped)" if refused else ""
        hint = f"A task needs {' and '.join(required)} examples. Without val examples, there is no validation."
        raise PlanError(f"{declared.full_name} has no {' and no '.join(empty)} examples{skipped}", hint)
    description = replace(declared, instruction=declared.instruction or _instruction(declared.type, rows))
    media = inspection.media
    record = Record(
        sha256=fingerprint(description, rows, media),
        counts=counts,
        answers=_answers(declared.type, rows),
        media=media,
        refused=tuple(refused),
        task_toml=task_toml_sha256(description),
        longest_reference=longest_reference(rows),
    )
    return description, record


def _media_error(name: str, inspection: Inspection) -> MediaError:
    faults = [f"  {path}: {reason}" for (_, path), reason in inspection.faults.items()]
    more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
    count = f"{len(faults)} of {len(faults) + len(inspection.records)} media files cannot be used"
    hint = "Nothing was prepared. Repair or replace them, or skip their examples: --on-error skip"
    return MediaError("\n".join([f"{name}: {count}:", *faults[:_LISTED], *more]), hint)


def _instruction(task_type: str, rows: Iterable[Row]) -> str:
    """Return the most common prompt of a captioning task's training examples, if any; empty for other types."""
    prompts = Counter(row.prompt for row in rows if row.split == "train" and task_type == CAPTIONING)
    return prompts.most_common(1)[0][0] if prompts else ""


def _answers(task_type: str, rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the sorted answers of a question answering task with a closed set of them; empty for other tasks."""
    answers = {reference for row in rows for reference in row.references} if task_type == QA else set()
    return tuple(sorted(answers)) if len(answers) <= MAX_ANSWERS else ()
