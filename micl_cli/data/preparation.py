"""Preparing tasks: every medium is opened once, examples are counted, and a sha256 pins them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from micl_cli.api.modality import Modality
from micl_cli.api.task import CAPTIONING, QA, SPLITS, Row, Task, TaskSource
from micl_cli.data.description import DESCRIPTION, MANIFEST, Description, read_description
from micl_cli.data.inspection import Inspection, MediumKey, Progress, medium_keys
from micl_cli.data.manifest import Entry, check_row, read_manifest
from micl_cli.data.placement import check_free, exclusive, fresh_folder, intact, replace_folder, stamp
from micl_cli.data.prepared import (
    FileRecord,
    Record,
    Refused,
    described,
    fingerprint,
    read_record,
    record_file,
    task_folder,
)
from micl_cli.data.prepared import is_prepared as is_prepared
from micl_cli.data.prepared import open_task as open_task
from micl_cli.data.prepared import prepared_tasks as prepared_tasks
from micl_cli.errors import ManifestError, MediaError, PlanError

OnError = Literal["fail", "skip"]
ModalityLoader = Callable[[str], Modality]
"""Returns a reader by the name of its modality. Raises PluginError."""

MAX_ANSWERS = 64
"""Question answering with more distinct answers than this counts as open."""
_LISTED = 20
_LISTED_KEYS = 8


@dataclass(frozen=True)
class Prepared:
    """A prepared task, the folder of its record, the folder of its media, and what was left out.

    ``notes`` are remarks about the manifest that the user should read.
    """

    task: Task
    folder: Path
    root: Path
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()


def prepare_source(
    source: TaskSource,
    name: str,
    home: Path,
    modality: ModalityLoader,
    *,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Let ``source`` write its media into the task's own folder under ``home``, and pin them.

    The folder appears whole or not at all. A second process that does the same waits and takes
    the result of the first one; a prepared task stays as it is if its data is the same.

    Raises MediaError (bad media and ``on_error`` "fail"), ManifestError (an invalid row), PlanError (no train or test
    examples, or the name is taken by a user's folder), MiclError (the folder cannot be written).
    """
    target = task_folder(name, home)
    before = stamp(target)
    with exclusive(target):
        check_free(name, target, None)
        if stamp(target) == before or not intact(name, home):
            stated = _source_description(source, name)
            with fresh_folder(target) as fresh:
                inspection = Inspection(fresh.resolve(), _readers(stated, modality))
                inspection.inspect(_source_rows(source, fresh, stated), None, progress)
                description, record = _conclude(inspection, stated, on_error)
                present = intact(name, home)
                if present is None or present.sha256 != record.sha256:
                    replace_folder(fresh, target, description, inspection.rows, record)
    return _prepared(name, home)


def prepare_folder(
    folder: Path,
    home: Path,
    modality: ModalityLoader,
    *,
    registered: Iterable[str] = (),
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Pin the task that ``folder`` describes by ``task.toml`` and ``manifest.jsonl``.

    Its media stay where they are; nothing is written into ``folder``. ``registered`` names all installed modalities.
    Media that look untouched since the folder was last prepared are not opened again.

    Raises ManifestError, MediaError (bad media and ``on_error`` "fail"), PlanError (no train or
    test examples, or the name is taken), MiclError (``home`` cannot be written).
    """
    root = folder.resolve()
    stated = read_description(root / DESCRIPTION)
    name = stated.full_name
    target = task_folder(name, home)
    earlier = check_free(name, target, root)
    entries = list(read_manifest(root / MANIFEST, stated, frozenset(registered)))
    manifest = record_file(root / MANIFEST)
    inspection = Inspection(root, _readers(stated, modality), _known_media(earlier, target))
    inspection.inspect([entry.row for entry in entries], len(entries), progress)
    description, record = _conclude(inspection, stated, on_error)
    record = replace(record, root=str(root), manifest=manifest, described=described(stated))
    with exclusive(target):
        present = intact(name, home)
        if earlier != record or present is None or present.description != stated.description:
            with fresh_folder(target) as fresh:
                replace_folder(fresh, target, description, inspection.rows, record)
    return replace(_prepared(name, home), notes=_notes(entries))


def _prepared(name: str, home: Path) -> Prepared:
    folder = task_folder(name, home)
    task, record = open_task(name, home, verify=False), read_record(folder)
    root = Path(record.root) if record and record.root else folder
    return Prepared(task, folder, root, record.refused if record else ())


def _readers(description: Description, modality: ModalityLoader) -> dict[str, Modality]:
    return {name: modality(name) for name in sorted(description.modalities)}


def _known_media(earlier: Record | None, target: Path) -> Mapping[MediumKey, FileRecord]:
    """Return the media of an earlier preparation; none where its manifest cannot be read."""
    if earlier is None:
        return {}
    try:
        rows = [entry.row for entry in read_manifest(target / MANIFEST, read_description(target / DESCRIPTION))]
    except ManifestError:
        return {}
    keys = {key for row in rows for key in medium_keys(row)}
    return {key: earlier.media[key[1]] for key in keys if key[1] in earlier.media}


def _notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return a note on the keys that are kept as metadata, if there are any."""
    lines = sum(bool(entry.further_keys) for entry in entries)
    keys = list(dict.fromkeys(key for entry in entries for key in entry.further_keys))
    if not keys:
        return ()
    more = f" and {len(keys) - _LISTED_KEYS} more" if len(keys) > _LISTED_KEYS else ""
    count = f"{lines} lines have" if lines > 1 else "1 line has"
    return (f"{count} further keys: {', '.join(keys[:_LISTED_KEYS])}{more}; kept as metadata",)


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
    """Yield the source's rows, checked as those of a manifest. Raises ManifestError."""
    ids: set[str] = set()
    for number, row in enumerate(source.rows(folder), 1):
        where = f"{description.full_name}: example {number}"
        if row.id in ids:
            hint = "This is a fault of the plugin that the task comes from."
            raise ManifestError(f"{where}: id {row.id!r} comes twice", hint)
        ids.add(row.id)
        yield check_row(row, description, where)


def _conclude(inspection: Inspection, stated: Description, on_error: OnError) -> tuple[Description, Record]:
    """Return description and record after all media were inspected. Raises MediaError, PlanError."""
    rows, refused = inspection.rows, inspection.refused
    if refused and on_error == "fail":
        raise _refusal(stated.full_name, inspection)
    counts = {split: sum(row.split == split for row in rows) for split in SPLITS}
    if empty := [split for split in ("train", "test") if not counts[split]]:
        left_out = f" ({len(refused)} were left out)" if refused else ""
        hint = "A task needs both; without val, nothing is validated."
        raise PlanError(f"{stated.full_name} has no {' and no '.join(empty)} examples{left_out}", hint)
    description = replace(stated, instruction=stated.instruction or _instruction(stated.type, rows))
    media = inspection.media
    record = Record(
        sha256=fingerprint(description, rows, media),
        counts=counts,
        answers=_answers(stated.type, rows),
        media=media,
        refused=tuple(refused),
    )
    return description, record


def _refusal(name: str, inspection: Inspection) -> MediaError:
    faults = [f"  {path}: {reason}" for (_, path), reason in inspection.faults.items()]
    more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
    count = f"{len(faults)} of {len(faults) + len(inspection.records)} media files cannot be used"
    hint = "Nothing was prepared. Repair or replace them, or leave their examples out: --on-error skip"
    return MediaError("\n".join([f"{name}: {count}:", *faults[:_LISTED], *more]), hint)


def _instruction(task_type: str, rows: Iterable[Row]) -> str:
    """Return the prompt that most training examples of a captioning task share."""
    if task_type != CAPTIONING:
        return ""
    return Counter(row.prompt for row in rows if row.split == "train").most_common(1)[0][0]


def _answers(task_type: str, rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the answers of a question answering task with a closed set of them, sorted; else none."""
    answers = {reference for row in rows for reference in row.references} if task_type == QA else set()
    return tuple(sorted(answers)) if len(answers) <= MAX_ANSWERS else ()
