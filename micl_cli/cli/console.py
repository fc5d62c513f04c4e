"""Terminal output: results on stdout, everything else on stderr. Tables, JSON and colour."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, TextIO

import click

from micl_cli.io.characters import escape as escape
from micl_cli.io.json_text import json_text
from micl_cli.redaction import redact

_GAP = "  "
_WORDS = re.compile(r"\s+|[^\s,]*,|[^\s,]+")
"""What a cell may be broken between."""
_NO_COLUMN = frozenset({"Mn", "Me", "Cf"})
"""Categories of combining marks, joiners and other characters that take no column in a terminal."""
_MIN_COLUMN, _MAX_WORD = 10, 20
"""Columns are not narrowed below the first, nor below their longest word unless it is longer than the second."""


@dataclass
class OutputOptions:
    """The global output flags: ``--debug``, ``--quiet``, ``--verbose`` and ``--no-color``."""

    debug: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False

    def reset(self) -> None:
        """Reset all flags to their defaults."""
        self.debug = self.quiet = self.verbose = self.no_color = False


output = OutputOptions()


def wants_colour(stream: TextIO) -> bool:
    """Return whether to use colour: on a terminal that is not dumb, without NO_COLOR and ``--no-color``."""
    if output.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def style(text: str, stream: TextIO, **look: Any) -> str:
    """Return ``text`` styled by ``click.style`` if ``stream`` supports colour."""
    return click.style(text, **look) if wants_colour(stream) else text


def echo(text: str = "") -> None:
    """Write a result to stdout."""
    click.echo(text, color=wants_colour(sys.stdout))


def note(text: str) -> None:
    """Write a message to stderr, unless ``--quiet`` is given."""
    if not output.quiet:
        click.echo(escape(redact(text), keep="\n"), err=True)


def warn(text: str) -> None:
    """Write a warning to stderr, even with ``--quiet``."""
    label = style("warning:", sys.stderr, fg="yellow")
    click.echo(f"{label} {escape(redact(text), keep=chr(10))}", err=True, color=wants_colour(sys.stderr))


def fail(message: str, hint: str = "", label: str = "error:") -> None:
    """Write an error to stderr, with the hint on its own line."""
    red = style(label, sys.stderr, fg="red", bold=True) + " " if label else ""
    click.echo(red + escape(redact(message), keep="\n"), err=True, color=wants_colour(sys.stderr))
    if hint:
        dim = style("hint:", sys.stderr, fg="cyan")
        click.echo(f"{dim} {escape(redact(hint), keep=chr(10))}", err=True, color=wants_colour(sys.stderr))


def echo_json(data: Any) -> None:
    """Write one JSON document to stdout, indented; numbers that are not finite are null."""
    click.echo(json_text(data, indent=2))


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    width: int | None = None,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> str:
    """Return rows as aligned columns, with numbers, and the columns named by ``right``, aligned to the right.

    If a row exceeds ``width``, ``optional`` columns are left out, the first of them first, and long texts are wrapped
    within their columns. If that is not enough, each row becomes a block with a line for each column. None stands for
    the width of the terminal, or no limit without a terminal.
    """
    cells = [[escape(_text(cell)) for cell in row] for row in rows]
    numbers = [name for i, name in enumerate(headers) if rows and all(_number(row[i]) for row in rows)]
    limit = width if width is not None else _terminal_width()
    for left_out in range(len(optional) + 1):
        kept = [i for i, name in enumerate(headers) if name not in optional[:left_out]]
        shown = [[line[i] for i in kept] for line in (headers, *cells)]
        to_right = [name in (*numbers, *right) for name in shown[0]]
        if sizes := _fitting(shown, to_right, limit):
            head, *body = (list(_lines(line, sizes, to_right)) for line in shown)
            return "\n".join([*(style(line, sys.stdout, bold=True) for line in head), *chain(*body)])
    return "\n\n".join("\n".join(_block(headers, line, limit)) for line in cells)


def _fitting(lines: Sequence[Sequence[str]], to_right: Sequence[bool], limit: int) -> list[int] | None:
    """Return sizes of columns that fit into ``limit``, the widest texts narrowed first; None if there are none.

    A table of headers only always fits.
    """
    columns = list(zip(*lines, strict=True))
    sizes = [max(map(_columns, column)) for column in columns]
    least = [
        size if right else min(size, max(_MIN_COLUMN, min(_longest_word(column), _MAX_WORD)))
        for column, size, right in zip(columns, sizes, to_right, strict=True)
    ]
    while (excess := sum(sizes) + len(_GAP) * (len(sizes) - 1) - limit) > 0 and len(lines) > 1:
        widest = max(range(len(sizes)), key=lambda i: (sizes[i] > least[i], sizes[i]))
        if sizes[widest] <= least[widest]:
            return None
        sizes[widest] = max(least[widest], sizes[widest] - excess)
    return sizes


def _longest_word(texts: Sequence[str]) -> int:
    return max((_columns(word.strip()) for text in texts for word in _WORDS.findall(text)), default=0)


def _lines(row: Sequence[str], sizes: Sequence[int], to_right: Sequence[bool]) -> Iterator[str]:
    """Yield the lines of a row, of which each cell is wrapped to the size of its column."""
    wrapped = [_wrapped(cell, size) for cell, size in zip(row, sizes, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        yield _GAP.join(map(_pad, parts, sizes, to_right)).rstrip()


def _block(headers: Sequence[str], row: Sequence[str], limit: int) -> Iterator[str]:
    """Yield a row as lines, one for each column that has a value."""
    size = max(map(_columns, headers))
    for header, cell in zip(headers, row, strict=True):
        first, *rest = _wrapped(cell, max(limit - size - len(_GAP), _MIN_COLUMN))
        if cell:
            yield f"{style(_pad(header, size, False), sys.stdout, bold=True)}{_GAP}{first}"
            yield from (" " * (size + len(_GAP)) + line for line in rest)


def _wrapped(text: str, size: int) -> list[str]:
    """Return the lines of at most ``size`` columns into which a text is broken, at spaces and after commas."""
    lines, line = [], ""
    for word in _WORDS.findall(text):
        while _columns((line + word).rstrip()) > size:
            if line.strip():
                lines.append(line.rstrip())
                line, word = "", word.lstrip()
            else:
                cut = next(n for n in range(len(word), 0, -1) if n == 1 or _columns(word[:n]) <= size)
                lines.append(word[:cut])
                word = word[cut:]
        line += word
    return [*lines, line.rstrip()]


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _pad(text: str, size: int, right: bool) -> str:
    blank = " " * (size - _columns(text))
    return blank + text if right else text + blank


def _columns(text: str) -> int:
    """Return the number of terminal columns of ``text``: two for East Asian wide characters, none for marks."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in _NO_COLUMN for c in text)


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
