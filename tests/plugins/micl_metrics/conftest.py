"""Captions with references."""

from __future__ import annotations

import pytest

Corpus = tuple[list[str], list[list[str]]]


@pytest.fixture
def corpus() -> Corpus:
    """Answers and references with abbreviations, signs, an empty answer and separators of METEOR's program."""
    return (
        ["a red circle above a blue square", "", "two dogs running ||| x", "a clock that reads 3 p.m.", "a café"],
        [
            ["A red circle over a blue square.", "one circle"],
            ["a dog"],
            ["dogs run", "two running dogs"],
            ["A clock showing 3 p.m. on a tower.", "The clock says 3 p.m."],
            ["a small cafe\u0301"],
        ],
    )
