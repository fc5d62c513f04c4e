"""Rows of user data: an item, with its columns by role, becomes a row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from micl_cli.api.format import Item, MediumValue, interleave
from micl_cli.api.reader import SourceRow
from micl_cli.api.task import Content, Row
from micl_cli.data.own.columns import ColumnMap, value_at
from micl_cli.data.own.media import MediaPlacement
from micl_cli.errors import ManifestError
from micl_cli.io.text import TextError, parse_json

_PYTHON_LIST = re.compile(r"\[\s*'.*'\s*\]", re.DOTALL)


@dataclass(frozen=True)
class RowBuilder:
    """Builds rows from items. ``prompt`` is shared by all examples, or empty if it is in a column."""

    columns: ColumnMap
    media: MediaPlacement
    prompt: str
    separator: str = ""

    def row(self, item: Item, name: str, folder: Path) -> Row:
        """Return the row of an item, without its split; ``name`` is its id if no column holds ids.

        Raises ManifestError, without file and line.
        """
        values = item.values
        row_id = self._text(values, self.columns.one("id")) or name
        choices = tuple(self._texts(values, "choices"))
        references = tuple(_chosen(self._answers(values), choices, self.columns.roles.get("choices", ())))
        if not references:
            raise ManifestError(f"the answer is missing ({', '.join(self.columns.roles.get('answer', ()))} is empty)")
        return Row(row_id, "", self._content(item, folder), references, choices, dict(self._meta(values)))

    def text(self, item: Item, role: str) -> str:
        """Return the text in the column of a role, or an empty string. Raises ManifestError if it is not a text."""
        return self._text(item.values, self.columns.one(role))

    def _content(self, item: Item, folder: Path) -> Content:
        """Return the texts and media in order. Media of columns come first, unless the prompt has marks for them."""
        if column := self.columns.one("content"):
            parts = tuple(item.values[column])
            parts = (*parts, self.prompt) if self.prompt else parts
        else:
            media = [medium for modality, name in self.columns.media for medium in self._media(item, modality, name)]
            text = self.prompt or self._text(item.values, self.columns.one("prompt"))
            parts = interleave(text, media, item.where)
        return tuple(self.media.place(part, folder) if isinstance(part, MediumValue) else part for part in parts)

    def _media(self, item: Item, modality: str, column: str) -> Iterator[MediumValue]:
        value = value_at(item.values, column)
        for each in value if isinstance(value, list | tuple) else [value]:
            if not is_blank(each):
                yield MediumValue(modality, each.strip() if isinstance(each, str) else each)
            elif len(self.columns.media) == 1:
                raise ManifestError(f"the {modality} is missing ({column} is empty)")

    def _answers(self, values: Mapping[str, Any]) -> list[Any]:
        found = [value_at(values, column) for column in self.columns.roles.get("answer", ())]
        return [answer for value in found for answer in self._listed(value)]

    def _texts(self, values: Mapping[str, Any], role: str) -> Iterator[str]:
        for column in self.columns.roles.get(role, ()):
            for value in self._listed(value_at(values, column)):
                yield text_of(value, column)

    def _listed(self, value: Any) -> Iterator[Any]:
        """Yield the values of a list, of a JSON list in a text, or between separators; blank ones are left out."""
        if isinstance(value, str):
            value = _from_text(value, self.separator)
        for each in value if isinstance(value, list | tuple) else [value]:
            if not is_blank(each):
                yield each

    def _text(self, values: Mapping[str, Any], column: str) -> str:
        value = value_at(values, column) if column else None
        return "" if is_blank(value) else text_of(value, column)

    def _meta(self, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        if category := self._text(values, self.columns.one("category")):
            yield "category", category
        for column in self.columns.roles.get("meta", ()):
            yield column, value_at(values, column)


def is_blank(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, or a text of white space."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def text_of(value: Any, column: str) -> str:
    """Return a text or number as text. Raises ManifestError for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ManifestError(f"{column} is not a text, but {type(value).__name__}")
    return str(value).strip()


def merged(rows: Iterable[SourceRow]) -> list[SourceRow]:
    """Merge rows with the same content and split into one with all references, in the order of first occurrence."""
    found: dict[Any, SourceRow] = {}
    for row, where in rows:
        key = (row.split, row.content, row.choices)
        first = found.setdefault(key, SourceRow(row, where))
        if first.row is not row:
            references = tuple(dict.fromkeys((*first.row.references, *row.references)))
            found[key] = SourceRow(replace(first.row, references=references), first.where)
    return list(found.values())


def _from_text(text: str, separator: str) -> list[Any] | str:
    plain = text.strip()
    if separator:
        return [part.strip() for part in plain.split(separator)]
    if _PYTHON_LIST.fullmatch(plain):
        raise ManifestError("a list is written in Python's notation: save it as JSON, or use --separator")
    if plain.startswith("[") and plain.endswith("]"):
        try:
            value = parse_json(plain)
        except TextError:
            return plain
        if value and all(isinstance(each, str) for each in value):
            return list(value)
    return plain


def _chosen(answers: list[Any], choices: tuple[str, ...], columns: tuple[str, ...]) -> Iterator[str]:
    """Yield answers as texts. With choices, an index, letter or column name is replaced by its choice."""
    for answer in answers:
        text = text_of(answer, "the answer")
        is_index = isinstance(answer, int) and 0 <= answer < len(choices)
        if is_index and text in choices and choices[answer] != text:
            what = f"the answer {text} is both a choice and the index of another one"
            raise ManifestError(f"{what}: write the text of the choice")
        if choices and text not in choices:
            letter = ord(text) - ord("A") if len(text) == 1 else -1
            if is_index:
                text = choices[answer]
            elif len(columns) == len(choices) and text in columns:
                text = choices[columns.index(text)]
            elif 0 <= letter < len(choices):
                text = choices[letter]
        yield text
