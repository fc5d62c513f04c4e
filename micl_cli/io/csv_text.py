"""Reading of delimited text files with a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from micl_cli.io.text import MAX_LINE_BYTES, TextError, read_lines


def read_table(
    path: Path, delimiter: str = ",", *, quoted: bool = True, max_line: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of the last line and the values by column of each row.

    Without ``quoted``, quotation marks are ordinary characters. Blank lines are skipped. Raises OSError; TextError,
    with the line, if the table is not UTF-8, its header has an empty or repeated name, a row has more or fewer values
    than the header, or a quotation mark is not closed.
    """
    lines = _Lines(path, max_line)
    quoting: Literal[0, 3] = 0 if quoted else 3  # csv.QUOTE_MINIMAL, csv.QUOTE_NONE
    reader = filter(_has_values, csv.reader(lines, delimiter=delimiter, strict=quoted, quoting=quoting))
    former = csv.field_size_limit(max_line)
    try:
        header = _header(reader, lines)
        for values in reader:
            if len(values) != len(header):
                raise TextError(f"{len(values)} values, but the header names {len(header)} columns", lines.number)
            yield lines.number, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise TextError(f"not a table: {error}", lines.number) from error
    finally:
        csv.field_size_limit(former)


def _has_values(row: list[str]) -> bool:
    """Return whether a row comes from a line that is not blank."""
    return len(row) > 1 or bool("".join(row).strip())


def _header(reader: Iterator[list[str]], lines: _Lines) -> list[str]:
    names = [name.strip() for name in next(reader, [])]
    if not names:
        raise TextError("it is empty", 1)
    for name in names:
        if not name or names.count(name) > 1:
            what = f"the column {name!r} occurs twice" if name else "a column has no name"
            raise TextError(f"{what} in the header", lines.number)
    return names


class _Lines:
    """The lines of a file with their line ends, and the number of the last one."""

    def __init__(self, path: Path, max_line: int) -> None:
        self.number = 0
        self._lines = read_lines(path, max_line, blank=True)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        return line + "\n"
