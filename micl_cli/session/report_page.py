"""The HTML report of stored runs, with their curves and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from micl_cli.report.options import DEFAULT, ReportOptions
from micl_cli.session.report_details import report_details

if TYPE_CHECKING:
    from micl_cli.report.data import RunData
    from micl_cli.session.session import Session

ANSWERS = 100
"""The default number of answered examples of each task."""


def report_page(
    session: Session, data: Sequence[RunData], options: ReportOptions = DEFAULT, answers: int = ANSWERS
) -> str:
    """Return the HTML report of runs, with up to ``answers`` answered examples of each task."""
    from micl_cli.report.html.render import html_report
    from micl_cli.report.render import summaries_for

    details = None if options.summary_only else report_details(session, data, answers)
    return html_report(data, summaries_for(data, options), details, summary_only=options.summary_only)
