"""Rendering of the view model by Jinja2, with all text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from micl_cli.io.characters import escape
from micl_cli.report.blocks import Code
from micl_cli.report.data import RunData
from micl_cli.report.html.answers import ReportDetails
from micl_cli.report.html.page import page_of

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary


def html_report(
    runs: Sequence[RunData],
    summaries: Sequence[Summary] = (),
    details: ReportDetails | None = None,
    *,
    summary_only: bool = False,
) -> str:
    """Return a report as one HTML document that loads nothing else, without a final newline.

    Equal data gives the same text.
    """
    environment = escaping_environment(__package__)
    environment.tests["code"] = lambda text: isinstance(text, Code)
    script, style = _template("report.js"), _template("report.css")
    page = page_of(runs, summaries, details, summary_only=summary_only)
    text = environment.get_template("report.html").render(
        page=page, script=Markup(script), style=Markup(style), script_digest=_digest(script)
    )
    return text.strip()


def escaping_environment(package: str) -> Environment:
    """Return the environment for the templates of a package, in which all text is escaped."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _visible(value: Any) -> Any:
    """Escape characters that control a terminal or the direction of text; Jinja2 escapes markup after that."""
    return escape(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


def _template(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8").strip()


def _digest(script: str) -> str:
    """Return the sha256 of the script as a content security policy names it, so that no other script can run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
