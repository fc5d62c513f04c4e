from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.io.json_text import finite, json_text

NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(NESTED)
def test_text_is_standard_json(data: object) -> None:
    json.loads(json_text(data), parse_constant=refuse)


def test_numbers_that_are_not_finite_are_null_at_any_depth() -> None:
    data = {"a": [1.5, math.nan, (math.inf, "NaN")], "b": {"c": -math.inf, "d": 2}}
    assert finite(data) == {"a": [1.5, None, [None, "NaN"]], "b": {"c": None, "d": 2}}


@given(NESTED)
def test_finite_data_stays_as_it_is(data: object) -> None:
    once = finite(data)
    assert finite(once) == once
