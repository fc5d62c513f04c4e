"""The rows of user data, with their splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from micl_cli.api.format import Format, Item
from micl_cli.api.reader import Fault, Source, SourceRow, SourceRows
from micl_cli.data.own.columns import value_at
from micl_cli.data.own.examples import RowBuilder, is_blank, merged
from micl_cli.data.own.inputs import DataFile
from micl_cli.data.own.request import OwnRequest
from micl_cli.data.own.splits import NONE, divide, split_named
from micl_cli.errors import ManifestError


@dataclass(frozen=True)
class DataSet:
    """An opened data set: its files and items. The first items, in ``head``, are already read."""

    format: Format
    files: Sequence[DataFile]
    source: Source
    media_root_given: bool
    head: list[tuple[DataFile, Item | Fault]]
    rest: Iterator[tuple[DataFile, Item | Fault]]

    @property
    def annotations(self) -> dict[str, Path]:
        """The files, by role, whose change makes the prepared task outdated."""
        numbered = enumerate(self.files, 1)
        return {f"{role} {n}": path for n, each in numbered for role, path in self.format.files(each.path).items()}

    @property
    def first_items(self) -> list[Item]:
        """The items of ``head``, without faults."""
        return [item for _, item in self.head if isinstance(item, Item)]

    @property
    def first_place(self) -> str:
        """The file and line of the first item."""
        return self.first_items[0].where

    @property
    def column_names(self) -> str:
        """The columns of the first items, for messages."""
        return ", ".join(dict.fromkeys(name for item in self.first_items for name in item.values))


@dataclass
class RowReader:
    """Reads the rows of a data set. ``numbers`` counts the items of each split, for items without an id."""

    data: DataSet
    builder: RowBuilder
    request: OwnRequest
    numbers: Counter[str] = field(default_factory=Counter)
    groups: dict[str, str] = field(default_factory=dict)
    left_out: int = 0
    merged: int = 0

    def rows(self) -> SourceRows:
        """Yield faults, then all rows."""
        rows: list[SourceRow] = []
        for file, item in chain(self.data.head, self.data.rest):
            each = self._row(file, item)
            if isinstance(each, Fault):
                yield each
            elif each.row.split == NONE:
                self.left_out += 1
            else:
                rows.append(each)
        yield from self._divided(self._merged(rows))

    def _row(self, file: DataFile, item: Item | Fault) -> SourceRow | Fault:
        known = file.split or (self._known(item.split) if isinstance(item, Item) else "")
        self.numbers[known] += 1
        if isinstance(item, Fault):
            return item
        name = str(self.numbers[known])
        try:
            row = self.builder.row(item, name, file.folder)
            split = "" if self.request.shares else known or self._column_split(item)
        except ManifestError as error:
            return Fault(item.where, name, error.message.removeprefix(f"{item.where}: "))
        # Ids may repeat across the files of several splits.
        row = replace(row, id=f"{known}-{row.id}" if known in ("train", "val") else row.id, split=split)
        if group := item.group or self.builder.text(item, "group"):
            self.groups[row.id] = group
        return SourceRow(row, item.where)

    def _known(self, name: str) -> str:
        return split_named(name, self.request.splits) if name else ""

    def _column_split(self, item: Item) -> str:
        column = self.builder.columns.one("split")
        if not column:
            raise ManifestError("its split is unknown")
        value = value_at(item.values, column)
        if is_blank(value):
            raise ManifestError(f"the split is missing ({column} is empty)")
        return self._known(str(value))

    def _merged(self, rows: list[SourceRow]) -> list[SourceRow]:
        found = merged(rows)
        self.merged = len(rows) - len(found)
        return found if self.request.merge else rows

    def _divided(self, rows: list[SourceRow]) -> list[SourceRow]:
        shares = self.request.shares
        return divide(rows, self.groups, shares, self.request.split_seed) if shares else rows

    def notes(self) -> Iterator[str]:
        """Yield notes on items that were left out or merged, or could be merged."""
        if self.left_out:
            yield f"{self.left_out:,} items belong to none of the splits, and were left out"
        if self.merged and self.request.merge:
            yield f"{self.merged:,} items were merged into others with the same content, as further references"
        elif self.merged:
            way = "make them one example with several references: --merge"
            yield f"{self.merged:,} items have the same media and prompt as another: {way}"
