"""How a run is named."""

from __future__ import annotations

import pytest

from micl_cli.errors import UsageError


@pytest.fixture
def named(store, new_run):
    for run, name in (("3f2a", "first"), ("3f9b", "twin"), ("77aa", "twin"), ("3f", ""), ("first-id", "77")):
        store.start_run(new_run(run, name=name))
    return store


@pytest.mark.parametrize(
    ("text", "run"),
    [("@last", "first-id"), ("3f2a", "3f2a"), ("3f2", "3f2a"), ("3f", "3f"), ("77a", "77aa"), ("77", "first-id")],
)
def test_a_run_is_meant_by_last_its_id_its_name_or_a_prefix_in_this_order(named, text, run):
    assert named.resolve(text) == run


def test_a_run_is_named_by_its_only_name(store, new_run):
    store.start_run(new_run("3f2a", name="order 1"))
    assert store.resolve("order 1") == "3f2a"


def test_last_is_the_run_resumed_last(named, new_run):
    named.start_run(new_run("3f2a"))
    assert named.resolve("@last") == "3f2a"


@pytest.mark.parametrize(("text", "candidates"), [("twin", {"3f9b", "77aa"}), ("3", {"3f2a", "3f9b"})])
def test_several_candidates_are_named(named, text, candidates):
    with pytest.raises(UsageError, match=r"matches [23] runs") as caught:
        named.resolve(text)
    assert all(run in caught.value.hint for run in candidates)


@pytest.mark.parametrize("text", ["", "%", "_f2a", "3F2A", "nothing like it"])
def test_an_unknown_run_is_refused(named, text):
    with pytest.raises(UsageError, match="no run"):
        named.resolve(text)


def test_the_nearest_name_is_suggested(named):
    with pytest.raises(UsageError) as caught:
        named.resolve("firts")
    assert "first" in caught.value.hint


def test_an_empty_store_says_how_to_begin(store):
    with pytest.raises(UsageError, match="no runs yet") as caught:
        store.resolve("@last")
    assert "micl learn" in caught.value.hint
