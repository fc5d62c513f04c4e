"""Output formats of reports: text, Markdown and LaTeX for people, JSON and CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from micl_cli.errors import UsageError, nearest
from micl_cli.report.data import RunData
from micl_cli.report.document import document
from micl_cli.report.options import DEFAULT, ReportOptions
from micl_cli.report.render import csv, json, latex, markdown, text

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary

FORMATS = ("text", "md", "csv", "json", "latex")


def render(
    runs: Sequence[RunData],
    format: str,
    *,
    width: int = 80,
    colour: bool = False,
    options: ReportOptions = DEFAULT,
) -> str:
    """Return a report on ``runs`` in one of FORMATS, with all names escaped, without a final newline.

    ``width`` (in columns) and ``colour`` (bold and dim by ANSI escapes) only apply to "text". Several runs are
    summarised by ``options``. Raises UsageError for an unknown format.
    """
    if format not in FORMATS:
        hint = nearest(format, FORMATS) or f"Formats: {', '.join(FORMATS)}"
        raise UsageError(f"unknown report format {format!r}", hint)
    summaries = summaries_for(runs, options)
    if format == "csv":
        return csv.write(runs, summaries, summary_only=options.summary_only)
    if format == "json":
        return json.write(runs, summaries, summary_only=options.summary_only)
    blocks = document(runs, summaries, summary_only=options.summary_only)
    if format == "text":
        return text.write(blocks, width=width, colour=colour)
    return markdown.write(blocks) if format == "md" else latex.write(blocks)


def summaries_for(runs: Sequence[RunData], options: ReportOptions) -> list[Summary]:
    """Return the summaries that a report of ``runs`` begins with: none for a single run, unless only they are shown."""
    if len(runs) < 2 and not options.summary_only:
        return []
    from micl_cli.report.summary import summaries_of  # imports numpy

    return summaries_of(runs, options)
