from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from micl_tasks.open.splits import connected, of_split, split_identities


@given(st.lists(st.sets(st.integers(0, 60).map(str), min_size=1), max_size=12))
def test_every_identity_has_one_split_and_connected_ones_the_same(sets: list[set[str]]) -> None:
    together = connected({name: {i for i, names in enumerate(sets) if name in names} for name in set().union(*sets)})
    splits = split_identities({"group": together})
    assert set(splits) == set().union(*sets)
    assert all(len({splits[name] for name in names}) == 1 for names in sets)


@given(st.integers(3, 80))
def test_every_group_of_three_is_in_each_split(count: int) -> None:
    names = [f"n{i}" for i in range(count)]
    splits = split_identities({"group": [[name] for name in names]})
    sizes = {split: len(of_split(splits, split, names)) for split in ("train", "val", "test")}
    assert sum(sizes.values()) == count
    assert min(sizes.values()) >= 1
    assert sizes["test"] <= max(1, round(0.25 * count))


def test_identities_that_share_something_are_connected_through_others() -> None:
    items = {"a": {1}, "b": {2}, "c": {1, 3}, "d": {3, 4}, "e": set[int]()}
    assert {frozenset(names) for names in connected(items)} == {
        frozenset({"a", "c", "d"}),
        frozenset({"b"}),
        frozenset({"e"}),
    }
