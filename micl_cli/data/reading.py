"""Preparation of tasks from a data set on disk, by readers of benchmarks and formats of user data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from micl_cli.api.reader import Count, Fault, Reader, ReaderTask, Source, SourceRow, SourceRows
from micl_cli.data.description import Description
from micl_cli.data.inspection import Inspection, Progress
from micl_cli.data.inspectors import default_jobs
from micl_cli.data.manifest import check_row
from micl_cli.data.placement import exclusive, fresh_folder, journal_path, open_if_intact, replace_folder
from micl_cli.data.preparation import ModalityLoader, OnError, Prepared, conclude, known_media, opened, readers_of
from micl_cli.data.prepared import task_folder
from micl_cli.data.record import Record, Refused, SourceRecord, read_record, record_file
from micl_cli.data.sampling import count_splits, limit_splits, set_aside
from micl_cli.errors import ManifestError, PlanError, UsageError, nearest

_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """The request to read a data set at ``root``.

    Paths of media are relative to ``media_root``, or to the root if it is None. ``prompts`` and ``scorer`` are variants
    of a published benchmark, the default one if None. ``limit`` is the maximum number of examples of each split, and
    ``val`` the number of training examples to set aside for validation; if it is None, ``val_share`` is their share.
    ``jobs`` is the number of processes that open media (0: one for each core), which does not affect the result.
    ``arguments`` are those of the command that prepares the task again, if they are not the root and the options.
    """

    root: Path
    media_root: Path | None = None
    prompts: str | None = None
    scorer: str | None = None
    limit: int | None = None
    val: int | None = None
    val_share: float = 0.0
    jobs: int = 0
    arguments: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """The given options, as on the command line."""
        names = ("media_root", "prompts", "scorer", "limit", "val")
        values = {name: getattr(self, name) for name in names}
        return {name: str(value) for name, value in values.items() if value is not None}

    def source(self, folder: Path | None = None) -> Source:
        """Return the source, with ``folder`` for extracted media. Raises PlanError if a folder is missing."""
        root = _folder(self.root, "--root")
        media_root = _folder(self.media_root, "--media-root") if self.media_root else root
        return Source(root, media_root, folder or root, self.prompts or "", self.scorer or "")


Read = Callable[[Source], tuple[Mapping[str, Path], SourceRows]]
"""Returns the annotation files of a task by role, and its rows."""


def prepare_published(
    reader: Reader,
    task: str,
    request: ReadRequest,
    home: Path,
    modality: ModalityLoader,
    *,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Prepare a task of a published benchmark, and compare the number of its examples with the published one.

    If a variant is requested that only other tasks of the benchmark have, a task with a single variant keeps that, with
    a note. Raises UsageError for an unknown variant; otherwise like :func:`prepare_read`.
    """
    spec = reader.tasks[task]
    prompts, scorer = chosen_variants(reader, task, request)
    kept = [
        f"{what} is {used}, the only variant of this task"
        for what, given, used in (("prompts", request.prompts, prompts), ("scorer", request.scorer, scorer))
        if given not in (None, used)
    ]
    request = replace(request, prompts=prompts, scorer=scorer, val_share=spec.val_share)
    declared = Description(
        name=task,
        benchmark=reader.benchmark,
        modalities=spec.modalities,
        type=spec.type,
        metric=spec.scorers[scorer],
        description=spec.description,
        instruction=spec.instruction,
        prompts=prompts,
        scorer=scorer,
    )

    def read(source: Source) -> tuple[Mapping[str, Path], SourceRows]:
        files = reader.locate(task, source)
        return files, reader.rows(task, files, source)

    prepared = prepare_read(
        declared, read, reader.benchmark, request, home, modality, extracts=spec.extracts,
        required=("test",) if spec.evaluation_only else ("train", "test"), on_error=on_error, progress=progress,
    )  # fmt: skip
    return replace(prepared, notes=(*prepared.notes, *kept, *_notes(spec, prepared.source)))


def chosen_variants(reader: Reader, task: str, request: ReadRequest) -> tuple[str, str]:
    """Return the variants of prompts and scorer that a task is prepared in. Raises UsageError if it lacks one."""
    name, spec, specs = f"{reader.benchmark}/{task}", reader.tasks[task], reader.tasks.values()
    return (
        _variant(name, "prompts", request.prompts, spec.prompts, [each.prompts for each in specs]),
        _variant(name, "scorer", request.scorer, tuple(spec.scorers), [tuple(each.scorers) for each in specs]),
    )


def prepare_read(
    declared: Description,
    read: Read,
    reader: str,
    request: ReadRequest,
    home: Path,
    modality: ModalityLoader,
    *,
    extracts: bool = False,
    required: Sequence[str] = ("train", "test"),
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Prepared:
    """Prepare the task ``declared`` from the rows that ``read`` returns.

    Media stay where they are, unless the reader ``extracts`` them. Nothing is written outside the home folder.

    Raises ManifestError (bad annotations, or examples that cannot be used and ``on_error`` is "fail"), MediaError (bad
    media), PlanError (no examples of a ``required`` split, or the name is in use), MiclError (the folder cannot be
    written).
    """
    name = declared.full_name
    target = task_folder(name, home)
    earlier = _intact_record(target)
    _check_name(name, reader, earlier)
    with exclusive(target), fresh_folder(target) as fresh:
        source = request.source(fresh.resolve())
        base = source.folder if extracts else source.media_root
        files, read_rows = read(source)
        rows, faults = _checked(read_rows, declared)
        if faults and on_error == "fail":
            raise _fault_error(name, faults, len(rows))
        counts = count_splits(rows)
        chosen = _chosen(name, rows, request)
        del rows
        known = known_media(earlier, target) if earlier and earlier.root == str(base) else {}
        inspection = Inspection(base, readers_of(declared, modality), known)
        inspection.refused.extend(Refused(fault.id, fault.where, fault.reason) for fault in faults)
        inspection.inspect_all(
            [row for row, _ in chosen],
            progress,
            jobs=request.jobs or default_jobs(),
            journal_path=None if extracts else journal_path(target),
        )
        if on_error == "fail" and inspection.refused:
            raise _fault_error(name, _located(inspection.refused, chosen), len(inspection.rows))
        description, record = conclude(inspection, declared, on_error, required)
        annotations = {_relative(path, source.root): record_file(path) for path in files.values()}
        origin = SourceRecord(reader, str(source.root), request.options, annotations, counts, request.arguments)
        record = replace(record, root=None if extracts else str(base), source=origin)
        if extracts:
            _remove_unused(fresh, record)
        if earlier != record or not _is_present(name, description, home):
            replace_folder(fresh, target, description, inspection.rows, record)
    del inspection, chosen, record, earlier  # the opened task holds its own copies; these may be large
    return replace(opened(name, home), notes=tuple(source.notes))


def _is_present(name: str, description: Description, home: Path) -> bool:
    """Return whether the task is prepared and intact, with the same free-text description."""
    present = open_if_intact(name, home)
    return present is not None and present.description == description.description


def _remove_unused(folder: Path, record: Record) -> None:
    """Remove the extracted media of examples that were left out."""
    used = {folder / path for path in record.media}
    for path in folder.rglob("*"):
        if path.is_file() and path not in used:
            path.unlink()


def _variant(name: str, what: str, given: str | None, known: Sequence[str], all_known: Iterable[Sequence[str]]) -> str:
    """Return the variant to prepare: ``given``, if the task has it. ``all_known`` are those of the benchmark."""
    if given is None or (len(known) == 1 and any(given in each for each in all_known)):
        return known[0]
    if given not in known:
        hint = f"{nearest(given, known)} It has: {', '.join(known)}.".strip()
        raise UsageError(f"{name} has no {what} variant {given!r}", hint)
    return given


def _folder(path: Path, flag: str) -> Path:
    if not path.is_dir():
        what = f"{path} is not a folder" if path.exists() else f"no folder {path}"
        raise PlanError(what, f"Name a folder with {flag}.")
    return path.resolve()


def _relative(path: Path, root: Path) -> str:
    """Return a file's path relative to the root. Raises ManifestError if it is not inside it."""
    if not path.resolve().is_relative_to(root):
        raise ManifestError(f"{path} leads out of {root}", "Copy the file into the folder of the data set.")
    return path.relative_to(root).as_posix()


def _check_name(name: str, reader: str, earlier: Record | None) -> None:
    """Raise PlanError if the name is used for a task that this reader did not read."""
    if earlier is None or (earlier.source and earlier.source.reader == reader):
        return
    origin = earlier.source.root if earlier.source else earlier.root or "the registered task of that name"
    raise PlanError(f"{name} is already prepared from {origin}", f"Choose another name, or: micl tasks rm {name}")


def _intact_record(target: Path) -> Record | None:
    try:
        return read_record(target)
    except PlanError:  # damaged: it is prepared again
        return None


def _checked(rows: Iterable[SourceRow | Fault], declared: Description) -> tuple[list[SourceRow], list[Fault]]:
    """Return the rows that are valid, and the faults of the others."""
    valid: list[SourceRow] = []
    faults: list[Fault] = []
    places: dict[str, str] = {}
    for item in rows:
        if isinstance(item, Fault):
            faults.append(item)
            continue
        row, where = item
        if row.id in places:
            faults.append(Fault(where, row.id, f"id {row.id!r} is also that of {places[row.id]}"))
            continue
        try:
            valid.append(SourceRow(check_row(row, declared, where), where))
            places[row.id] = where
        except ManifestError as error:
            faults.append(Fault(where, row.id, error.message.removeprefix(f"{where}: ")))
    return valid, faults


def _chosen(name: str, rows: Sequence[SourceRow], request: ReadRequest) -> Sequence[SourceRow]:
    counts = count_splits(rows)
    if request.val and counts["val"]:
        raise UsageError(f"{name} has validation examples", "Leave out --val.")
    if request.val and not counts["train"]:
        raise UsageError(f"{name} has no training examples to set aside for validation", "Leave out --val.")
    if size := request.val or ceil(request.val_share * counts["train"]):
        rows = set_aside(rows, size)
    return limit_splits(rows, request.limit) if request.limit else rows


def _located(refused: Sequence[Refused], rows: Sequence[SourceRow]) -> Iterator[Fault]:
    """Yield refused examples with their file and line."""
    places = {row.id: where for row, where in rows}
    return (Fault(places.get(each.id, each.path), each.id, f"{each.path}: {each.reason}") for each in refused)


def _fault_error(name: str, faults: Iterable[Fault], usable: int) -> ManifestError:
    faults = list(faults)
    lines = [f"  {fault.where}: {fault.reason}" for fault in faults[:_LISTED]]
    more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
    count = f"{len(faults):,} of {len(faults) + usable:,} examples cannot be used"
    hint = "Nothing was prepared. Repair the files, or skip these examples: --on-error skip"
    return ManifestError("\n".join([f"{name}: {count}:", *lines, *more]), hint)


def _notes(spec: ReaderTask, source: SourceRecord | None) -> Iterator[str]:
    """Yield comparisons with the published numbers of examples, and notes about the protocol."""
    if source:
        yield from (text for split, count in spec.counts.items() if (text := _compared(split, count, source)))
    if spec.max_new_tokens:
        yield f"published answers have at most {spec.max_new_tokens} tokens: --max-new-tokens {spec.max_new_tokens}"
    if spec.note:
        yield spec.note


def _compared(split: str, count: Count, source: SourceRecord) -> str:
    """Return "train: 28,999 of 29,000 published examples", or an empty text if a verified number is the same."""
    read = source.counts.get(split, 0)
    if not count.verified:
        return f"{split}: {read:,} examples; published: {count.examples:,} (unverified)"
    return f"{split}: {read:,} of {count.examples:,} published examples" if read != count.examples else ""
