"""The content of a report as blocks, independent of the output format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from micl_cli.report.blocks import Block, Heading, Paragraph
from micl_cli.report.comparison import comparison
from micl_cli.report.data import RunData
from micl_cli.report.run_blocks import run_blocks, run_head

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary

MINI = (
    "mini/ tasks are micl's own small tasks, generated from a seed. They are not the published datasets: "
    "compare their scores only with each other."
)


def document(runs: Sequence[RunData], summaries: Sequence[Summary] = (), *, summary_only: bool = False) -> list[Block]:
    """Return the scores, figures with formulas and costs of each run; several runs are summarised and compared.

    With ``summary_only``, return the summary alone.
    """
    if not runs:
        return [Paragraph("No runs to report.")]
    if summary_only:
        return summary_section(runs, summaries)
    if len(runs) == 1:
        return [*run_head(runs[0]), *mini_note(runs), *run_blocks(runs[0])]
    sections = [block for run in runs for block in (*run_head(run), *run_blocks(run))]
    return [*summary_section(runs, summaries), *sections, Heading(f"Comparison of {len(runs)} runs"), *comparison(runs)]


def summary_section(runs: Sequence[RunData], summaries: Sequence[Summary]) -> list[Block]:
    """Return the summary of several runs, with its heading."""
    from micl_cli.report.summary_blocks import summary_blocks  # imports numpy

    title = f"Summary of {len(runs)} run{'s' * (len(runs) > 1)}"
    return [Heading(title), *mini_note(runs), *summary_blocks(summaries)]


def mini_note(runs: Sequence[RunData]) -> list[Block]:
    """Return the note on mini/ tasks, or nothing without them."""
    return [Paragraph(MINI)] if any(task.startswith("mini/") for run in runs for task in run.tasks) else []
