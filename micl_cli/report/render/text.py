"""Reports as plain text for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from textwrap import wrap

from micl_cli.report.blocks import Block, Heading, Paragraph, Table
from micl_cli.report.render.visible import visible

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
GAP = "  "
MIN_WIDTH = 24
_MIN_LAST = 12
"""The narrowest last column of a table with prose."""

Lines = Sequence[Sequence[str]]


def write(blocks: Sequence[Block], *, width: int = 80, colour: bool = False) -> str:
    """Return the blocks as plain text of at most ``width`` columns, unless a word or cell is longer.

    A table that is too wide is split into several, each with the first column.
    """
    return "\n\n".join("\n".join(_block(block, max(width, MIN_WIDTH), colour)) for block in blocks)


def _block(block: Block, width: int, colour: bool) -> Iterator[str]:
    if isinstance(block, Heading):
        title = _wrapped(visible(block.text), width)
        yield from (_styled(line, BOLD, colour) for line in title)
        yield "=" * min(max(map(_columns, title)), width)
    elif isinstance(block, Paragraph):
        yield from _wrapped(visible(block.text), width)
    else:
        yield from (_styled(line, BOLD, colour) for line in _wrapped(visible(block.title), width))
        yield from _table(block, width, colour)


def _styled(line: str, style: str, colour: bool) -> str:
    return f"{style}{line}{PLAIN}" if colour else line


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _table(table: Table, width: int, colour: bool) -> Iterator[str]:
    lines = [[visible(cell) for cell in row] for row in (table.columns, *table.rows)]
    if table.prose:
        lines = _with_wrapped_last(lines, width)
    left = {0, len(table.columns) - 1} if table.prose else {0}
    for number, columns in enumerate(_split(lines, width)):
        if number:
            yield ""
        cells = [[row[column] for column in columns] for row in lines]
        yield from _aligned(cells, [column in left for column in columns], colour)


def _with_wrapped_last(lines: Lines, width: int) -> list[list[str]]:
    """Wrap the cells of the last column to fit the table into ``width``."""
    others = sum(widths := _widths(lines)[:-1]) + len(GAP) * len(widths)
    wrapped: list[list[str]] = []
    for row in lines:
        first, *rest = _wrapped(row[-1], max(width - others, _MIN_LAST))
        wrapped.append([*row[:-1], first])
        wrapped += [[""] * len(widths) + [line] for line in rest]
    return wrapped


def _split(lines: Lines, width: int) -> Iterator[list[int]]:
    """Yield the columns of each table that fits into ``width``, starting with the first column."""
    widths = _widths(lines)
    columns, used = [0], widths[0]
    for column in range(1, len(widths)):
        needed = len(GAP) + widths[column]
        if used + needed > width and len(columns) > 1:
            yield columns
            columns, used = [0], widths[0]
        columns.append(column)
        used += needed
    yield columns


def _aligned(lines: Lines, left: Sequence[bool], colour: bool) -> Iterator[str]:
    widths = _widths(lines)
    for number, row in enumerate(lines):
        cells = [_padded(cell, size, to_left) for cell, size, to_left in zip(row, widths, left, strict=True)]
        yield GAP.join(cells).rstrip()
        if number == 0:
            yield _styled(GAP.join("-" * size for size in widths), DIM, colour)


def _padded(cell: str, width: int, left: bool) -> str:
    space = " " * (width - _columns(cell))
    return cell + space if left else space + cell


def _widths(lines: Lines) -> list[int]:
    return [max(map(_columns, column)) for column in zip(*lines, strict=True)]


def _columns(text: str) -> int:
    """Return the number of terminal columns of ``text``."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
