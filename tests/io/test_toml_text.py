from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.io.text import parse_toml
from micl_cli.io.toml_text import toml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.one_of(TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
TABLES = st.recursive(
    st.dictionaries(TEXTS, st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), min_size=1, max_size=4),
    lambda inner: st.dictionaries(TEXTS, st.one_of(PLAIN, inner), min_size=1, max_size=3),
    max_leaves=6,
)


@given(TABLES)
def test_what_is_written_is_read(table: dict[str, Any]) -> None:
    assert parse_toml(toml_text(table)) == table


def test_none_is_a_word_and_empty_tables_are_left_out() -> None:
    assert toml_text({"a": None, "b": {}, "c d": {"e": 1e-05}}) == 'a = "none"\n\n["c d"]\ne = 1e-05\n'
