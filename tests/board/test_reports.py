"""Reports are built once for each state of their runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from micl_cli.board import reports
from micl_cli.board.reports import Reports
from micl_cli.serve.errors import ApiError


class Builder:
    """Builds pages once ``hold`` is set. ``stamps`` are the states of runs."""

    def __init__(self) -> None:
        self.hold, self.built, self.stamps = threading.Event(), list[tuple[str, ...]](), dict[tuple[str, ...], str]()
        self.error: Exception | None = None
        self.hold.set()

    def build(self, runs: tuple[str, ...]) -> bytes:
        assert self.hold.wait(60)
        self.built.append(runs)
        if self.error:
            raise self.error
        return f"{runs} {self.stamp(runs)}".encode()

    def stamp(self, runs: tuple[str, ...]) -> str:
        return self.stamps.get(runs, "first")


@pytest.fixture
def builder() -> Builder:
    return Builder()


@pytest.fixture
def pages(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reports]:
    monkeypatch.setattr(reports, "FRESH_SECONDS", -1.0)
    made = Reports(builder.build, builder.stamp)
    yield made
    builder.hold.set()
    made.close()


def test_a_report_is_built_again_only_when_its_runs_have_changed(pages: Reports, builder: Builder) -> None:
    assert pages.page(("a",), 60) == pages.page(("a",), 60) == b"('a',) first"
    assert builder.built == [("a",)]
    builder.stamps[("a",)] = "second"
    assert pages.page(("a",), 60) == b"('a',) second"
    assert pages.page(("a", "b"), 60) == b"('a', 'b') first"


def test_a_report_of_a_run_that_goes_on_is_shown_once_it_is_ready(pages: Reports, builder: Builder) -> None:
    builder.hold.clear()
    assert pages.page(("a",), 0.01) is None
    builder.stamps[("a",)] = "second"
    assert pages.page(("a",), 0.01) is None
    builder.hold.set()
    assert pages.page(("a",), 60) is not None
    assert builder.built == [("a",)]


def test_a_fresh_report_is_shown_though_its_run_goes_on(
    pages: Reports, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FRESH_SECONDS", 60.0)
    first = pages.page(("a",), 60)
    builder.stamps[("a",)] = "second"
    assert pages.page(("a",), 60) == first


def test_a_failure_is_raised_and_tried_again(pages: Reports, builder: Builder) -> None:
    for error in (ValueError("broken"), TimeoutError("slow disk")):
        builder.error = error
        with pytest.raises(type(error), match=str(error)):
            pages.page(("a",), 60)
    builder.error = None
    assert pages.page(("a",), 60) is not None


def test_few_reports_wait_and_few_are_kept(pages: Reports, builder: Builder) -> None:
    builder.hold.clear()
    for name in range(reports.MAX_WAITING):
        assert pages.page((f"{name}",), 0.01) is None
    with pytest.raises(ApiError, match="too many reports"):
        pages.page(("z",), 0.01)
    builder.hold.set()
    for name in range(reports.MAX_KEPT + 1):
        assert pages.page((f"{name}",), 60) is not None
    count = len(builder.built)
    assert pages.page((f"{reports.MAX_KEPT}",), 60) is not None
    assert len(builder.built) == count
    assert pages.page(("0",), 60) is not None
    assert len(builder.built) == count + 1, "the oldest was dropped"
