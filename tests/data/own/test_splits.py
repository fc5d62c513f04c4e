"""Splits: names in the data, and seeded shares that keep media and groups together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.reader import SourceRow
from micl_cli.api.task import SPLITS, Media, Row
from micl_cli.data.own.request import parse_shares
from micl_cli.data.own.splits import divide, split_in, split_named
from micl_cli.errors import UsageError


def rows(media: list[int]) -> list[SourceRow]:
    return [SourceRow(Row(str(n), "", (Media("image", Path(f"{m}.png")),), ("x",)), "x") for n, m in enumerate(media)]


@given(st.lists(st.integers(0, 30), min_size=3, max_size=60), st.integers(0, 3))
def test_no_medium_is_in_two_splits(media: list[int], seed: int) -> None:
    divided = divide(rows(media), {}, (0.6, 0.2, 0.2), seed)
    assert [row.id for row, _ in divided] == [str(n) for n in range(len(media))]
    splits: dict[str, set[str]] = {}
    for row, _ in divided:
        assert row.split in SPLITS
        splits.setdefault(str(row.media[0].path), set()).add(row.split)
    assert all(len(each) == 1 for each in splits.values())


@given(st.integers(10, 300))
def test_shares_of_examples_without_common_media_are_kept(count: int) -> None:
    splits = [row.split for row, _ in divide(rows(list(range(count))), {}, (0.8, 0.1, 0.1), 0)]
    assert all(abs(splits.count(split) - count / 10) < 1 for split in ("val", "test"))


def test_the_division_depends_on_ids_and_seed_alone() -> None:
    def chosen(order: list[SourceRow], seed: int) -> dict[str, str]:
        return {row.id: row.split for row, _ in divide(order, {}, (0.5, 0.0, 0.5), seed)}

    given_rows = rows(list(range(40)))
    assert chosen(given_rows, 0) == chosen(given_rows[::-1], 0)
    assert chosen(given_rows, 0) != chosen(given_rows, 1)
    assert "val" not in chosen(given_rows, 0).values()


def test_groups_stay_together() -> None:
    groups = {str(n): str(n // 5) for n in range(40)}
    divided = divide(rows(list(range(40))), groups, (0.5, 0.25, 0.25), 0)
    assert all(len({row.split for row, _ in divided if int(row.id) // 5 == group}) == 1 for group in range(8))


@pytest.mark.parametrize(
    ("text", "shares"),
    [("80/10/10", (0.8, 0.1, 0.1)), ("8/1/1", (0.8, 0.1, 0.1)), ("90/10", (0.9, 0.0, 0.1)), ("1/0/1", (0.5, 0.0, 0.5))],
)
def test_shares(text: str, shares: tuple[float, ...]) -> None:
    assert parse_shares(text) == pytest.approx(shares)


@pytest.mark.parametrize("text", ["", "80", "80/x", "80/10/0", "0/10/90", "80/-1/20", "1/2/3/4", "nan/1", "1/inf"])
def test_what_is_no_division(text: str) -> None:
    with pytest.raises(UsageError, match="80/10/10"):
        parse_shares(text)


def test_names_of_splits() -> None:
    assert [split_named(name, {}) for name in ("Train", "validation ", "dev", "TEST", "odd")] == [
        *("train", "val", "val", "test", "odd"),
    ]
    assert split_named("dev", {"dev": "test"}) == "test"
    names = ("train-00000-of-00002", "captions_val2017", "test", "train_test", "latest", "training_set")
    assert [split_in(name) for name in names] == ["train", "val", "test", "", "", "train"]
