"""Reports as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from micl_cli.report.blocks import Block, Code, Heading, Paragraph, Table
from micl_cli.report.render.visible import visible

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# An underscore within a word ("img_cap") is not markup.
_SPECIAL = re.compile(r"[&<>]|[\\`*\[\]|~#$!]|(?<![^\W_])_|_(?![^\W_])")


def write(blocks: Sequence[Block]) -> str:
    """Return the blocks as Markdown, with all names escaped."""
    return "\n\n".join("\n".join(_block(block)) for block in blocks)


def escaped(text: str) -> str:
    """Return ``text`` escaped for Markdown, with formulas as code."""
    if isinstance(text, Code) and not set(text) & set("`|"):
        return f"`{text}`"
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), visible(text))


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"## {escaped(block.text)}"
    elif isinstance(block, Paragraph):
        yield escaped(block.text)
    else:
        yield f"**{escaped(block.title)}**"
        yield ""
        yield _row([escaped(name) for name in block.columns])
        yield _row(_rules(block))
        yield from (_row([escaped(cell) for cell in row]) for row in block.rows)


def _rules(table: Table) -> list[str]:
    last = "---" if table.prose else "---:"
    return ["---", *["---:"] * (len(table.columns) - 2), last]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
