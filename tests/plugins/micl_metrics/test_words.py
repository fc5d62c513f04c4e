"""N-grams, and what all metrics check."""

from __future__ import annotations

import pytest

from micl_metrics.words import mean, ngrams, paired


def test_ngrams_of_every_order() -> None:
    counts = ngrams(["a", "b", "a", "b"])
    assert counts[("a",)] == 2
    assert counts[("a", "b")] == 2
    assert counts[("b", "a")] == 1
    assert counts[("a", "b", "a", "b")] == 1
    assert sum(counts.values()) == 4 + 3 + 2 + 1


def test_answers_need_references() -> None:
    with pytest.raises(ValueError, match="2 answers, but references for 1"):
        paired(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="answer 1 has no reference"):
        paired(["a", "b"], [["a"], []])


def test_mean_of_nothing_is_zero() -> None:
    assert mean([]) == 0.0
    assert mean([1.0, 2.0]) == 1.5
