"""Choosing a format."""

from __future__ import annotations

import pytest

from micl_cli.errors import UsageError
from micl_cli.report.data import RunData
from micl_cli.report.render import FORMATS, render


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_shows_every_run_and_ends_without_a_line_break(
    format: str, learnt: RunData, plain: RunData
) -> None:
    shown = render([learnt, plain], format)
    assert learnt.id in shown
    assert plain.id in shown
    assert shown == shown.strip()


@pytest.mark.parametrize("format", FORMATS)
def test_reporting_no_runs_is_no_error(format: str) -> None:
    assert render([], format)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        render([], "latx")
    assert caught.value.message == "unknown report format 'latx'"
    assert caught.value.hint == "Did you mean 'latex'?"
