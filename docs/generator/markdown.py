"""Markdown from docstrings and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc
from typing import Any

UNFILLED = "\b"
"""The line that begins a paragraph of a help text whose lines click does not join."""
NOTE = "<!-- Generated from the code. -->"


def page(title: str, *blocks: str) -> str:
    """Return a page with a title."""
    return "\n\n".join([f"# {title}", NOTE, *filter(None, blocks)]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table, or an empty text if it has no rows."""
    lines = ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    head = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*head, *lines]) if lines else ""


def cell(value: Any) -> str:
    """Return a value as the text of a cell, on one line; bars in code are not those of the table."""
    pieces = re.split(r"(`[^`]*`)", " ".join(str(value).split()))
    return "".join(each if number % 2 else each.replace("|", r"\|") for number, each in enumerate(pieces))


def code(value: Any) -> str:
    """Return a value as code; an empty text stays empty."""
    text = str(value)
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Return a docstring as Markdown: roles and literals of reStructuredText become code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", cleandoc(text)).replace("``", "`")
    return "\n\n".join(_paragraph(each) for each in text.split("\n\n"))


def _paragraph(text: str) -> str:
    """Keep the lines of a paragraph that click does not join; outside code, show brackets and stars as they are."""
    lines = text.splitlines()
    if lines[:1] == [UNFILLED]:
        return block(lines[1:])
    if all(line.startswith("    ") for line in lines):
        return text
    return "".join(each if number % 2 else escaped(each) for number, each in enumerate(re.split(r"(`[^`]*`)", text)))


def block(lines: Sequence[str]) -> str:
    """Return lines as a code block, below its heading if the first line is one ("Examples:")."""
    first, rest = ("", lines) if not lines or not re.match(r"\w+:", lines[0]) else (lines[0], lines[1:])
    heading, _, inline = first.partition(":")
    body = cleandoc("\n".join([*([inline.strip()] if inline.strip() else []), *map(str.rstrip, rest)]))
    fenced = f"```console\n{body}\n```" if body else ""
    return "\n\n".join(filter(None, (f"{heading}:" if heading else "", fenced)))


def escaped(text: str) -> str:
    """Return text in which Markdown sees no markup."""
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)
