"""Preparation of a task from user data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, pairwise
from pathlib import Path

from micl_cli.api.format import Format, Item, Items, MediumValue
from micl_cli.api.reader import Fault, Source, SourceRows
from micl_cli.api.task import CAPTIONING, CHOICE, QA
from micl_cli.data.description import Description
from micl_cli.data.inspection import Progress
from micl_cli.data.own.columns import ColumnMap, map_columns, role_named, value_at
from micl_cli.data.own.examples import RowBuilder
from micl_cli.data.own.inputs import (
    DataFile,
    absolute_options,
    find_files,
    find_format,
    load_format,
    make_format,
    root_of,
)
from micl_cli.data.own.media import MediaPlacement, is_embedded
from micl_cli.data.own.request import Input, OwnRequest
from micl_cli.data.own.rows import DataSet, RowReader
from micl_cli.data.preparation import OnError, Prepared
from micl_cli.data.prepared import task_folder
from micl_cli.data.reading import ReadRequest, prepare_read
from micl_cli.data.record import read_record
from micl_cli.data.vocabulary import DEFAULT_METRICS, check_names
from micl_cli.errors import ManifestError, PlanError, UsageError
from micl_cli.registry import Registry

PREFIX = "format:"
"""The prefix of format names in the records of prepared tasks."""
_HEAD = 100
"""The number of items from which columns are guessed."""
_CAPTIONS = ("caption", "captions", "sentence", "sentences")


def prepare_own(
    request: OwnRequest,
    home: Path,
    registry: Registry,
    *,
    on_error: OnError = "fail",
    progress: Progress | None = None,
    jobs: int = 0,
) -> Prepared:
    """Prepare a task from user data, with ``jobs`` processes that open media (0: one for each core).

    Raises UsageError, PluginError, PlanError, ManifestError (bad data, and ``on_error`` is "fail"), MediaError, or
    MiclError (``home`` cannot be written).
    """
    data, read_request = _open(request, home, registry)
    read_request = replace(read_request, jobs=jobs)
    if on_error == "skip":
        read_request = replace(read_request, arguments=(*read_request.arguments, "--on-error", "skip"))
    columns = _columns(data, request, frozenset(part.name for part in registry.parts("modalities")))
    declared, notes = _description(data, columns, request)
    check_names(declared, f"--as {request.name}", registry)
    _check_splits(data, columns, request)
    _check_origin(declared, read_request.arguments, home)
    extracts = _extracts(data.first_items, columns)
    placement = MediaPlacement(data.source, given=data.media_root_given, extracts=extracts)
    builder = RowBuilder(columns, placement, request.prompt or declared.instruction, request.separator)
    reader = RowReader(data, builder, request)

    def read(source: Source) -> tuple[Mapping[str, Path], SourceRows]:
        placement.folder = source.folder
        return data.annotations, reader.rows()

    try:
        prepared = prepare_read(
            declared,
            read,
            f"{PREFIX}{data.format.name}",
            read_request,
            home,
            lambda name: registry.load("modalities", name)(),
            extracts=extracts,
            on_error=on_error,
            progress=progress,
        )
    except ManifestError as error:
        raise _with_media_root(error, data) from error
    return replace(prepared, notes=(*prepared.notes, *notes, *reader.notes()))


def _with_media_root(error: ManifestError, data: DataSet) -> ManifestError:
    """Return the error; if files do not exist, its hint explains what media paths are relative to."""
    if data.media_root_given or "the file does not exist" not in error.message:
        return error
    hint = "Paths of media are relative to the file that names them; name another folder with --media-root."
    return ManifestError(error.message, f"{hint} {error.hint}")


def _open(request: OwnRequest, home: Path, registry: Registry) -> tuple[DataSet, ReadRequest]:
    """Return the opened data set and the read request."""
    cls = load_format(request.format, registry) if request.format else None
    files = find_files(request.inputs, cls)
    cls = cls or find_format(files, registry)
    chosen = make_format(cls, request.options)
    if pinned := chosen.pinned(files[0].path):
        request = replace(request, options={**request.options, **pinned})
        chosen = make_format(cls, request.options)
    read_request = _read_request(request, files, chosen, home)
    source, given = read_request.source(), request.media_root is not None
    items = _items(chosen, files, source, given)
    return DataSet(chosen, files, source, given, list(islice(items, _HEAD)), items), read_request


def _read_request(request: OwnRequest, files: Sequence[DataFile], chosen: Format, home: Path) -> ReadRequest:
    local = [file.path for file in files if file.path.is_absolute()]
    if not local:
        home.mkdir(parents=True, exist_ok=True)  # serves as the root of a remote data set
    root = root_of([*local, *(path for each in local for path in chosen.files(each).values())]) if local else home
    media_root = request.media_root.expanduser() if request.media_root else root
    if not media_root.is_dir():
        raise PlanError(f"no folder {media_root}", "Name the folder that paths of media are relative to.")
    inputs = tuple(Input(str(file.path), file.split) for file in files)
    arguments = request.arguments(inputs, chosen.name, absolute_options(type(chosen), request.options))
    return ReadRequest(root=root, media_root=media_root, limit=request.limit, val=request.val, arguments=arguments)


def _items(
    chosen: Format, files: Iterable[DataFile], source: Source, given: bool
) -> Iterator[tuple[DataFile, Item | Fault]]:
    """Yield the items of all files. Without a given media root, media are relative to the file that names them."""
    for file in files:
        local = source if given or not file.path.is_absolute() else replace(source, media_root=file.folder)
        items: Items = chosen.items(file.path, local)
        for item in items:
            yield file, item


# The task


def _columns(data: DataSet, request: OwnRequest, modalities: frozenset[str]) -> ColumnMap:
    given = {role_named(role, modalities): columns for role, columns in request.columns.items()}
    if not data.first_items:
        faults = [f"  {item.where}: {item.reason}" for _, item in data.head[:5] if isinstance(item, Fault)]
        names = ", ".join(str(file.path) for file in data.files)
        raise ManifestError("\n".join([f"{names}: there are no examples", *faults]), "Name the file with the examples.")
    if request.prompt and "prompt" in given:
        raise UsageError("both --prompt and --column prompt= are given", "Leave one of them out.")
    fixed = dict(data.format.columns)
    if request.prompt:
        fixed["prompt"] = ()
    columns = map_columns(data.first_items, given, fixed, modalities, request.modality)
    if not columns.roles.get("answer"):
        names = ", ".join(dict.fromkeys(name for item in data.first_items for name in item.values))
        hint = f"Name it: --column answer=COLUMN. Columns: {names}."
        raise ManifestError(f"{data.first_items[0].where}: the column of the answer is unknown", hint)
    return columns


def _description(data: DataSet, columns: ColumnMap, request: OwnRequest) -> tuple[Description, list[str]]:
    """Return the description of the task, and notes about guessed values."""
    benchmark, _, name = request.name.partition("/")
    task_type = request.type or data.format.type or _guessed_type(columns)
    metric = request.metric or (data.format.metric if not request.type else "") or DEFAULT_METRICS.get(task_type, "")
    if not metric:
        raise UsageError(f"a task of type {task_type} needs a metric", "Name it: --metric NAME")
    notes = [columns.note()] if columns.guessed else []
    if not request.type or not request.metric:
        notes.append(f"type {task_type}, metric {metric} (change: --type, --metric)")
    modalities = frozenset(modality for modality, _ in columns.media) | _content_modalities(data, columns, request)
    instruction = ""
    if not request.prompt and not columns.one("prompt") and not columns.one("content"):
        instruction = _default_prompt(task_type, modalities, data)
        notes.append(f"prompt: {instruction!r} (change: --prompt TEXT)")
    declared = Description(
        name=name, benchmark=benchmark, modalities=modalities, type=task_type, metric=metric, instruction=instruction
    )
    return declared, notes


def _guessed_type(columns: ColumnMap) -> str:
    if columns.roles.get("choices"):
        return CHOICE
    is_caption = columns.roles["answer"][0].lower() in _CAPTIONS
    return CAPTIONING if is_caption and not columns.one("prompt") and columns.media else QA


def _default_prompt(task_type: str, modalities: frozenset[str], data: DataSet) -> str:
    if task_type == CAPTIONING and len(modalities) == 1:
        return f"Describe the {next(iter(modalities))}."
    names = ", ".join(dict.fromkeys(name for item in data.first_items for name in item.values))
    hint = f'Write one for all examples, --prompt "…", or name the column, --column prompt=COLUMN. Columns: {names}.'
    raise ManifestError(f"{data.first_items[0].where}: the column of the question is unknown", hint)


def _content_modalities(data: DataSet, columns: ColumnMap, request: OwnRequest) -> frozenset[str]:
    parts = [part for item in data.first_items for part in _content(item, columns)]
    named = [request.modality] if request.modality and columns.one("content") else []
    return frozenset([*named, *(part.modality for part in parts if isinstance(part, MediumValue))])


def _content(item: Item, columns: ColumnMap) -> Sequence[str | MediumValue]:
    return item.values[columns.one("content")] if columns.one("content") else ()


def _extracts(items: Sequence[Item], columns: ColumnMap) -> bool:
    """Return whether the first items hold the bytes of media."""
    values = (value_at(item.values, column) for item in items for _, column in columns.media)
    contents = (part.value for item in items for part in _content(item, columns) if isinstance(part, MediumValue))
    return any(map(is_embedded, chain(values, contents)))


def _check_splits(data: DataSet, columns: ColumnMap, request: OwnRequest) -> None:
    """Raise UsageError if the splits of examples are undefined, or defined twice."""
    if request.shares:
        if "split" in request.columns:
            raise UsageError("both shares and a column of splits are given", "Leave one of them out.")
        return
    known = columns.one("split") or all(file.split for file in data.files) or any(i.split for i in data.first_items)
    if not known:
        what = f"{data.first_place}: the splits of the examples are unknown"
        hint = "Divide them with --split 80/10/10, or name the column: --column split=COLUMN."
        raise UsageError(what, f"{hint} Columns: {data.column_names}.")


def _check_origin(declared: Description, arguments: tuple[str, ...], home: Path) -> None:
    """Raise PlanError if the name is used for a task from other files."""
    try:
        record = read_record(task_folder(declared.full_name, home))
    except PlanError:  # damaged: it is prepared again
        return
    source = record.source if record else None
    if source and source.arguments and _origin(source.arguments) != _origin(arguments):
        former = ", ".join(_origin(source.arguments))
        hint = f"Choose another name with --as, or: micl tasks rm {declared.full_name}"
        raise PlanError(f"{declared.full_name} is already prepared from {former}", hint)


def _origin(arguments: Sequence[str]) -> list[str]:
    return [value for flag, value in pairwise(arguments) if flag == "--from"]
