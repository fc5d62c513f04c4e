"""Readers of published benchmarks: how the files of a task are located, and its examples read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from micl_cli.api.predictions import Prediction
from micl_cli.api.task import Row
from micl_cli.errors import ManifestError
from micl_cli.io.csv_text import read_table
from micl_cli.io.json_stream import read_json_items
from micl_cli.io.spelling import Spellings
from micl_cli.io.text import MAX_LINE_BYTES, TextError, parse_json, read_json, read_lines

MAX_ANNOTATIONS = 512 << 20
"""The size limit in bytes of an annotation file that is read as a whole."""
PUBLISHED, FILE = "published", "file"
"""Prompt variants: those of the published evaluation, and those in the files as they are."""
RELEASE, STRICT = "release", "strict"
"""Scorer variants: the rule of the authors' release, and a stricter rule where that one is lax, lossy or wrong."""
DEFAULT_ORDER = "default"
"""The name of the default order, where it differs from the order of ``tasks``."""


class Count(NamedTuple):
    """The published number of examples of a split. One that is not ``verified`` is shown, but not compared."""

    examples: int
    verified: bool = True


@dataclass(frozen=True, kw_only=True)
class ReaderTask:
    """A task of a published benchmark.

    ``scorers`` holds the metric of each scorer variant, and ``prompts`` names the prompt variants; the first of each is
    the default. ``counts`` holds the published number of examples by split. ``max_new_tokens`` is the published maximum
    length of an answer. ``val_share`` is the share of the training examples that is set aside for validation by
    default, for a data set without validation examples. ``note`` is shown after preparation: a property of the protocol
    that users must know, such as a prompt that depends on the answer. With ``extracts``, the reader writes the media
    into the folder of the prepared task, for example from bytes in a table; otherwise they stay where they are.
    ``exports`` names the formats of prediction files that the reader writes for a judge or a server. A task for
    ``evaluation_only`` has no training examples: it cannot be learnt, and a run is scored on it by ``micl eval``.
    """

    modalities: frozenset[str]
    type: str
    scorers: Mapping[str, str]
    prompts: tuple[str, ...] = (PUBLISHED,)
    description: str = ""
    instruction: str = ""
    counts: Mapping[str, Count] = field(default_factory=dict)
    max_new_tokens: int | None = None
    val_share: float = 0.0
    note: str = ""
    extracts: bool = False
    exports: tuple[str, ...] = ()
    evaluation_only: bool = False


class SourceRow(NamedTuple):
    """A row, and the file and line that it was read from. Paths of its media are relative to the media root."""

    row: Row
    where: str


class Fault(NamedTuple):
    """An example that cannot be used: the file and line, its id, and the reason."""

    where: str
    id: str
    reason: str


SourceRows = Iterator[SourceRow | Fault]
"""The rows and faults that a reader yields."""


@dataclass(frozen=True)
class Source:
    """The files of a data set under ``root``, and how to read them.

    ``media_root`` is the folder that the paths of media are relative to. ``folder`` is where a reader with ``extracts``
    writes media. ``prompts`` and ``scorer`` are the variants to prepare. A reader appends messages for the user
    about the files to ``notes``.

    All methods that read raise ManifestError with file and line.
    """

    root: Path
    media_root: Path
    folder: Path
    prompts: str = PUBLISHED
    scorer: str = RELEASE
    notes: list[str] = field(default_factory=list, compare=False)

    def find(self, *candidates: str) -> Path:
        """Return the first of ``candidates``, paths below the root, that is a file. Raises ManifestError if none is."""
        for candidate in candidates:
            if self.has_file(candidate):
                return self.root / candidate
        raise ManifestError(f"{self.root} has no {' or '.join(candidates)}", self._other_spelling(candidates))

    def has_file(self, *candidates: str) -> bool:
        """Return whether one of ``candidates``, paths below the root, is a file."""
        return any((self.root / candidate).is_file() for candidate in candidates)

    def first_medium(self, candidates: Sequence[str]) -> str:
        """Return the first of several paths below the media root that exists, or the first of all if none does."""
        return next((path for path in candidates if self.has_medium(path)), candidates[0])

    def has_medium(self, path: str) -> bool:
        """Return whether a file exists below the media root. Its folder is listed once."""
        folder, _, name = path.rpartition("/")
        return name in self._listing(folder)

    def where(self, path: Path, line: int = 0) -> str:
        """Return a file and line for messages, with the path relative to the root."""
        if path not in self._names:
            inside = path.is_relative_to(self.root)
            self._names[path] = path.relative_to(self.root).as_posix() if inside else str(path)
        return f"{self._names[path]}:{line}" if line else self._names[path]

    def json_items(self, path: Path, key: str = "") -> Iterator[tuple[str, Any]]:
        """Yield the location and value of each item of a JSON list: the document, or the value of its ``key``."""
        for line, item in self._read(path, read_json_items(path, key)):
            yield self.where(path, line), item

    def json(self, path: Path) -> Any:
        """Return the content of a JSON file that is small enough to be read as a whole."""
        return next(self._read(path, (read_json(each, MAX_ANNOTATIONS) for each in (path,))))

    def json_lines(self, path: Path) -> Iterator[tuple[str, Any]]:
        """Yield the location and value of each line of a file in JSON Lines."""
        for line, text in self._read(path, read_lines(path)):
            try:
                yield self.where(path, line), parse_json(text)
            except TextError as error:
                raise self._malformed(path, f"not JSON: {error}", line) from error

    def table(
        self, path: Path, columns: Iterable[str] = (), *, delimiter: str = ",", quoted: bool = True, max_line: int = 0
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the location and the values by column of each row of a table, which must have ``columns``."""
        rows = read_table(path, delimiter, quoted=quoted, max_line=max_line or MAX_LINE_BYTES)
        first = True
        for line, values in self._read(path, rows):
            if first and (missing := [name for name in columns if name not in values]):
                what = f"no column {', '.join(map(repr, missing))}; it has {', '.join(values)}"
                raise ManifestError(f"{self.where(path, 1)}: {what}", "Is this the file that was published?")
            first = False
            yield self.where(path, line), values

    def lines(self, path: Path) -> Iterator[tuple[str, str]]:
        """Yield the location and text of each line that is not blank."""
        for line, text in self._read(path, read_lines(path)):
            yield self.where(path, line), text

    def _read(self, path: Path, values: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from values
        except TextError as error:
            raise self._malformed(path, str(error), error.line) from error
        except OSError as error:
            raise self._malformed(path, error.strerror or str(error), 0) from error

    def _malformed(self, path: Path, reason: str, line: int) -> ManifestError:
        return ManifestError(f"{self.where(path, line)}: {reason}", "Download the file again, or repair it.")

    def _other_spelling(self, candidates: Sequence[str]) -> str:
        """Return a hint that names a file which differs from a candidate in case only, or an empty string."""
        spellings = Spellings(self.root)
        other = next(filter(None, map(spellings.find, candidates)), "")
        return f"There is {self.root / other}: rename it, since names of files differ by case." if other else ""

    def _listing(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            try:
                names = frozenset(each.name for each in (self.media_root / folder).iterdir())
            except (OSError, ValueError):  # no such folder, or not a name of one
                names = frozenset()
            self._listings[folder] = names
        return self._listings[folder]

    @cached_property
    def _names(self) -> dict[Path, str]:
        return {}

    @cached_property
    def _listings(self) -> dict[str, frozenset[str]]:
        return {}


def rows_of(items: Iterable[tuple[str, Any]], make: Callable[[str, Any], Row]) -> SourceRows:
    """Yield the row that ``make`` returns for each location and item, or a fault if it raises ManifestError."""
    return rows_of_each(items, lambda where, item: (make(where, item),))


def rows_of_each(items: Iterable[tuple[str, Any]], make: Callable[[str, Any], Iterable[Row]]) -> SourceRows:
    """Yield all rows that ``make`` returns for each location and item, or one fault if it raises ManifestError."""
    for where, item in items:
        try:
            rows = list(make(where, item))
        except ManifestError as error:
            yield Fault(where, _id_of(item), error.message.removeprefix(f"{where}: "))
            continue
        yield from (SourceRow(row, where) for row in rows)


def _id_of(item: Any) -> str:
    """Return the id of an item, for messages, or an empty string."""
    keys = ("id", "question_id", "filename", "audiocap_id", "video_id", "file_name", "index")
    return next((str(item[key]) for key in keys if key in item), "") if isinstance(item, Mapping) else ""


def text_field(item: Any, key: str, where: str) -> str:
    """Return the text under ``key`` of an object in an annotation file; a number is written as text.

    Raises ManifestError if the item is no object, or the key is missing or neither.
    """
    value = field_of(item, key, where)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ManifestError(f"{where}: {key} is not a string", "Is this the file that was published?")
    return str(value)


def field_of(item: Any, key: str, where: str) -> Any:
    """Return the value under ``key`` of an object. Raises ManifestError if it is no object or has no such key."""
    if not isinstance(item, Mapping):
        raise ManifestError(f"{where}: it is not an object", "Is this the file that was published?")
    if key not in item:
        keys = ", ".join(map(str, list(item)[:8])) or "none"
        raise ManifestError(f"{where}: the key {key!r} is missing (its keys: {keys})", "Is this the published file?")
    return item[key]


class Reader(ABC):
    """A published benchmark: its tasks, their files and examples, orders, sizes, licence and citation.

    ``tasks`` are in the benchmark's default order; ``orders`` names further ones, which users select as
    "benchmark:order". An order "default" replaces that of ``tasks``, where some tasks are not part of the sequence.
    ``marks`` are paths below the root, with wildcards, by which the data set is recognised.
    """

    benchmark: ClassVar[str]
    title: ClassVar[str]
    tasks: ClassVar[Mapping[str, ReaderTask]]
    orders: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    marks: ClassVar[tuple[str, ...]] = ()
    licence: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    origin: ClassVar[str] = ""
    """Where the data is published, such as the name of a dataset repository."""

    @classmethod
    def sequence(cls, order: str = "") -> tuple[str, ...]:
        """Return the tasks of an order, or of the default one, in order."""
        return tuple(cls.orders.get(order or DEFAULT_ORDER, cls.tasks))

    @abstractmethod
    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the annotation files of a task by role. Raises ManifestError if one is missing."""

    @abstractmethod
    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield a row for each example of ``files``, or a fault. Raises ManifestError for a malformed file.

        Examples are in the order of the files, training examples first.
        """

    def export(self, task: str, form: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        """Yield the text of a file with predictions, piece by piece, in a format of the task's ``exports``."""
        raise NotImplementedError(f"{self.benchmark} has no format {form!r} for predictions")
