"""How values are written in a report."""

from __future__ import annotations

import pytest

from micl_cli.report.blocks import labels, number, size


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (float("nan"), "-"), (-0.001, "0.00"), (0.0, "0.00"), (-14.975, "-14.97"), (1, "1.00")],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (612_000_000, "612.0 MB"),
        (3 * 10**12, "3000.0 GB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


def test_task_names_are_short_where_that_is_clear() -> None:
    assert labels(["mini/img_cap", "mini/aud_qa"]) == ["img_cap", "aud_qa"]
    assert labels(["mini/img_cap", "micl/img_cap"]) == ["mini/img_cap", "micl/img_cap"]
