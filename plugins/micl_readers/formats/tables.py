"""Tables in text files: comma-separated and tab-separated values with a header."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from micl_cli.api import Format, Item, Items, ManifestError, Match, OptionError, Source

MAX_LINE = 64 << 20
"""The maximum length of a line in bytes; it may hold images as base64."""


class Csv(Format):
    """Comma-separated values. The first line names the columns."""

    name = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    def __init__(
        self,
        *,
        delimiter: Annotated[str, "the character between values; 'tab' for a tab"] = ",",
        quoted: Annotated[bool, 'whether values may stand in quotation marks, with "" for a mark inside'] = True,
    ) -> None:
        self.delimiter = "\t" if delimiter == "tab" else delimiter
        self.quoted = quoted
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise OptionError(
                f"format {self.name}: {delimiter!r} is no delimiter", "Give one character: -o delimiter ';'"
            )

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match the suffix."""
        return Match.NAME if path.is_file() and path.suffix.lower() in cls.suffixes else Match.NONE

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each row."""
        table = source.table(path, delimiter=self.delimiter, quoted=self.quoted, max_line=MAX_LINE)
        for where, values in table:
            self._check_delimiter(where, values)
            yield Item(where, values)

    def _check_delimiter(self, where: str, values: dict[str, str]) -> None:
        """Raise ManifestError if the only column has another delimiter in its name."""
        header = next(iter(values))
        other = next((mark for mark in (";", "\t", ",", "|") if mark in header), "")
        if len(values) == 1 and other:
            shown = "tab" if other == "\t" else other
            what = f"{where.rpartition(':')[0]}:1: the only column is {header!r}"
            raise ManifestError(what, f"Are its values separated by {other!r}? -o delimiter '{shown}'")


class Tsv(Csv):
    """Tab-separated values. The first line names the columns."""

    name = "tsv"
    suffixes = (".tsv", ".tab")

    def __init__(
        self,
        *,
        delimiter: Annotated[str, "the character between values; 'tab' for a tab"] = "tab",
        quoted: Annotated[bool, 'whether values may stand in quotation marks, with "" for a mark inside'] = True,
    ) -> None:
        super().__init__(delimiter=delimiter, quoted=quoted)
