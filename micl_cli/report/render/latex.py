"""Reports as LaTeX that needs no packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from micl_cli.report.blocks import Block, Code, Heading, Paragraph, Table
from micl_cli.report.render.visible import visible

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    **{mark: f"\\{mark}" for mark in "{}$&#_%"},
}
_NUMBER = r"-?\d+(\.\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}( \[{_NUMBER}, {_NUMBER}\])?")


def write(blocks: Sequence[Block]) -> str:
    """Return the blocks as a LaTeX fragment, with all names escaped."""
    return "\n\n".join("\n".join(_block(block)) for block in blocks)


def escaped(text: str) -> str:
    """Return ``text`` escaped for LaTeX, with formulas in a monospaced font."""
    # LaTeX would typeset two consecutive hyphens as a dash.
    plain = re.sub("-(?=-)", "-{}", "".join(_SPECIAL.get(c, c) for c in visible(text)))
    # At the start of a table row, a bracket or star would be parsed as an argument of the previous row.
    return rf"\texttt{{{plain}}}" if isinstance(text, Code) else re.sub(r"^\s*([\[*])", r"{\1}", plain)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield rf"\subsection*{{{escaped(block.text)}}}"
    elif isinstance(block, Paragraph):
        yield escaped(block.text)
    else:
        yield rf"\noindent\textbf{{{escaped(block.title)}}}"
        yield ""
        yield rf"\noindent\begin{{tabular}}{{{_columns(block)}}}"
        yield from (r"\hline", _row(block.columns), r"\hline")
        yield from map(_row, block.rows)
        yield from (r"\hline", r"\end{tabular}")


def _columns(table: Table) -> str:
    last = r"p{0.5\linewidth}" if table.prose else "r"
    return "l" + "r" * (len(table.columns) - 2) + last


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(cell: str) -> str:
    """Return a cell, with negative numbers in math mode, in which a hyphen is a minus sign."""
    if not _NUMBERS.fullmatch(cell):
        return escaped(cell)
    return re.sub(r"-[\d.]+", r"$\g<0>$", cell)
