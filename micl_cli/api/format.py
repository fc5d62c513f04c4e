"""Formats of user data: how the items of a file or folder are read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from micl_cli.api.reader import Fault, Source
from micl_cli.errors import ManifestError
from micl_cli.io.json_stream import read_json_items
from micl_cli.io.text import TextError, parse_json, read_head, read_lines

_HEAD_BYTES = 1 << 16
_KEY = re.compile(r'"((?:[^"\\\n]|\\.){1,64})"\s*:')
_LINES = (".jsonl", ".ndjson")


class Match(IntEnum):
    """The confidence of a format that it can read a path. The format with the highest one is used."""

    NONE = 0
    NAME = 1
    """The file name matches."""
    CONTENT = 2
    """The content matches."""


class MediumValue(NamedTuple):
    """A medium as stored in a data set: a path, bytes, base64, or an object with the keys "path" and "bytes"."""

    modality: str
    value: Any


class Item(NamedTuple):
    """An item of a data set: its file and line, for messages, and its values by column.

    ``split`` is the item's split, if the data set has splits. Items of one ``group`` are put into the same split
    when examples are divided.
    """

    where: str
    values: Mapping[str, Any]
    split: str = ""
    group: str = ""


Items = Iterator[Item | Fault]
"""The items and faults that a format yields."""


class Format(ABC):
    """A format of user data. Options are keyword-only constructor parameters.

    ``columns`` names the columns of items by role ("image", "prompt", "answer", ...), where the format defines them;
    the role "content" is a sequence of texts and :class:`MediumValue`. ``type`` and ``metric`` are defaults of the
    task. ``suffixes`` are its file suffixes. A ``remote`` format also reads data sets that are not on this machine;
    their names are passed as relative paths.
    """

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    type: ClassVar[str] = ""
    metric: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    remote: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def match(cls, path: Path) -> Match:
        """Return the confidence that the format can read an existing file or folder. Raises OSError, TextError."""

    @abstractmethod
    def items(self, path: Path, source: Source) -> Items:
        """Yield the items of a file or folder. Raises ManifestError, with file and line, if it is malformed."""

    def files(self, path: Path) -> Mapping[str, Path]:
        """Return the files, by role, whose change makes the prepared task outdated."""
        return {"data": path} if path.is_file() else {}

    def pinned(self, path: Path) -> Mapping[str, str]:
        """Return the options that pin what is read, such as the commit of a remote data set. Raises PlanError."""
        return {}


class JsonHead(NamedTuple):
    """The beginning of a JSON file: "object", "list" or "lines", and keys of the document or of its first item."""

    shape: str
    keys: frozenset[str]


def json_head(path: Path) -> JsonHead:
    """Return the shape and keys of a JSON file. Those of an object are from its first 64 KiB, nested ones included.

    Raises OSError, TextError.
    """
    text = read_head(path, _HEAD_BYTES).lstrip()
    if path.suffix.lower() in _LINES or _has_objects_in_lines(text):
        line = next((parse_json(line) for _, line in islice(read_lines(path), 1)), None)
        return JsonHead("lines", _keys(line))
    if text.startswith("["):
        first = next((item for _, item in islice(read_json_items(path), 1)), None)
        return JsonHead("list", _keys(first))
    return JsonHead("object", frozenset(_KEY.findall(text)))


def _has_objects_in_lines(text: str) -> bool:
    first, *others = text.split("\n", 2)
    try:
        return isinstance(parse_json(first), dict) and bool(others and others[0].strip())
    except TextError:
        return False


def _keys(item: Any) -> frozenset[str]:
    return frozenset(item) if isinstance(item, dict) else frozenset()


def json_values(path: Path, source: Source) -> Iterator[tuple[str, Any]]:
    """Yield the place and value of each item of a JSON list, or of each line of a file in JSON Lines.

    Raises ManifestError.
    """
    try:
        shape = json_head(path).shape
    except (OSError, TextError):
        shape = "list"  # read again below, with the error and its line
    if shape == "object":
        hint = "A file holds a list of objects, or one object per line."
        raise ManifestError(f"{source.where(path)}: it is a single object", hint)
    return source.json_items(path) if shape == "list" else source.json_lines(path)


def interleave(text: str, media: Sequence[MediumValue], where: str) -> tuple[str | MediumValue, ...]:
    """Return a content in which each medium replaces its mark, such as ``<image>``, in order.

    Media without marks come first. Raises ManifestError if a modality has some marks, but not one for each medium.
    """
    names = dict.fromkeys(("image", "audio", "video", *(medium.modality for medium in media)))
    parts = re.split("(" + "|".join(f"<{re.escape(name)}>" for name in names) + ")", text)
    left = {name: [medium for medium in media if medium.modality == name] for name in names}
    for name, values in left.items():
        marks = parts.count(f"<{name}>")
        if marks and marks != len(values):
            raise ManifestError(f"{where}: the text has {marks} marks <{name}>, and {len(values)} are given")
    marked = {name for name in names if f"<{name}>" in parts}
    before = [medium for medium in media if medium.modality not in marked]
    placed = [left[part[1:-1]].pop(0) if part[1:-1] in marked and part[:1] == "<" else part.strip() for part in parts]
    return tuple(part for part in (*before, *placed) if part != "")
