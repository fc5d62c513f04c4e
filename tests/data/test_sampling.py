"""Seeded sampling of a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Media, Row, SourceRow
from micl_cli.data.sampling import count_splits, limit_splits, set_aside

LIMITED = ["train-35", "train-40", "train-42", "test-5", "test-21", "test-29"]
ASIDE = ["train-25", "train-29"]


def source_row(number: int, split: str, medium: int = -1) -> SourceRow:
    content = (Media("image", Path(f"{medium}.png")), "q") if medium >= 0 else ("q",)
    return SourceRow(Row(f"{split}-{number}", split, content, ("a",)), f"x.json:{number}")


def rows(count: int, per_medium: int = 1) -> list[SourceRow]:
    train = [source_row(n, "train", n // per_medium) for n in range(count)]
    return [*train, *(source_row(n, "test", 1000 + n) for n in range(count))]


def test_the_choice_is_the_same_on_every_machine() -> None:
    limited = [row.id for row, _ in limit_splits(rows(50), 3)]
    assert limited == LIMITED
    assert [row.id for row, _ in set_aside(rows(50), 2) if row.split == "val"] == ASIDE


@given(st.permutations(range(20)), st.integers(1, 25))
def test_the_choice_does_not_depend_on_the_order(order: list[int], limit: int) -> None:
    base = rows(20)
    chosen = {row.id for row, _ in limit_splits(base, limit)}
    assert {row.id for row, _ in limit_splits([base[index] for index in order] + base[20:], limit)} == chosen


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 30))
def test_no_medium_is_both_learnt_from_and_validated_on(count: int, per_medium: int, size: int) -> None:
    media = {"train": set(), "val": set(), "test": set()}  # type: dict[str, set[str]]
    moved = set_aside(rows(count, per_medium), size)
    for row, _ in moved:
        media[row.split].update(str(medium.path) for medium in row.media)
    assert not media["train"] & media["val"]
    assert min(size, count) <= count_splits(moved)["val"] < size + per_medium


@given(st.integers(1, 12), st.integers(2, 4))
def test_a_limit_keeps_groups_whole(limit: int, members: int) -> None:
    grouped = [
        SourceRow(Row(f"{group}-{i}", "test", ("q",), ("a",), meta={"group": f"g{group}"}), "x.json")
        for group in range(5)
        for i in range(members)
    ]
    counts = Counter(row.meta["group"] for row, _ in limit_splits(grouped, limit))
    assert set(counts.values()) == {members}
    assert sum(counts.values()) <= max(limit, members)
