"""Suggestions of similar names."""

from __future__ import annotations

import tracemalloc
from difflib import get_close_matches

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.errors import nearest

NAMES = st.text("abc", max_size=12)


@given(NAMES, st.lists(NAMES, max_size=4))
def test_a_similar_name_is_suggested(name: str, known: list[str]) -> None:
    assert bool(nearest(name, known)) == bool(get_close_matches(name, known, cutoff=0.5))


def test_a_very_long_name_is_not_compared() -> None:
    name = "x" * 500_000
    tracemalloc.start()
    assert nearest(name, ["xyz"]) == ""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(name)
