"""Output formats of reports: text, Markdown and LaTeX for people, JSON and CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence

from micl_cli.errors import UsageError, nearest
from micl_cli.report.data import RunData
from micl_cli.report.document import document
from micl_cli.report.render import csv, json, latex, markdown, text

FORMATS = ("text", "md", "csv", "json", "latex")


def render(runs: Sequence[RunData], format: str, *, width: int = 80, colour: bool = False) -> str:
    """Return a report on ``runs`` in one of FORMATS, with all names escaped, without a final newline.

    ``width`` (in columns) and ``colour`` (bold and dim by ANSI escapes) only apply to "text".
    Raises UsageError for an unknown format.
    """
    if format == "text":
        return text.write(document(runs), width=width, colour=colour)
    if format == "md":
        return markdown.write(document(runs))
    if format == "latex":
        return latex.write(document(runs))
    if format == "csv":
        return csv.write(runs)
    if format == "json":
        return json.write(runs)
    raise UsageError(f"unknown report format {format!r}", nearest(format, FORMATS) or f"Formats: {', '.join(FORMATS)}")
