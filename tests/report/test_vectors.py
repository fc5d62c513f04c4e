"""Entries of R on resampled test examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from micl_cli.report.data import RunData
from micl_cli.report.vectors import NOT_STORED, RESAMPLES, ResampledEntries, mean_vector, observed, weighted

SCORES = {f"{n}": value for n, value in enumerate([100.0, 0.0, 100.0, 100.0, 0.0, 100.0, 100.0, 0.0])}


@pytest.fixture
def one(plain: RunData) -> RunData:
    """A run of one task whose examples have known scores."""
    return replace(plain, tasks=("a",), matrix=[[62.5]], examples={(1, "a"): SCORES})


def test_the_first_value_is_the_score_and_the_others_spread_as_the_mean_of_so_many_examples(one: RunData) -> None:
    vector = ResampledEntries([one])(one, 1, 1)
    assert vector is not None
    assert (vector[0], len(vector)) == (62.5, 1 + RESAMPLES)
    assert vector[1:].mean() == pytest.approx(62.5, abs=1.5)
    assert vector[1:].std() == pytest.approx(100 * np.sqrt(0.625 * 0.375 / 8), rel=0.1)


def test_all_runs_have_the_same_examples_in_each_resample(one: RunData) -> None:
    reverse = dict(reversed(SCORES.items()))
    worse = replace(one, id="worse", matrix=[[52.5]], examples={(1, "a"): {k: v - 10 for k, v in reverse.items()}})
    entries = ResampledEntries([one, worse])
    ours, theirs = entries(one, 1, 1), entries(worse, 1, 1)
    assert ours is not None and theirs is not None
    assert ours - theirs == pytest.approx(np.full(1 + RESAMPLES, 10.0))


@pytest.mark.parametrize(
    ("examples", "problem"),
    [
        (None, NOT_STORED),
        ({(1, "a"): {**SCORES, "0": None}}, NOT_STORED),
        ({(1, "a"): {**SCORES, "0": 0.0}}, "the score is not the mean over examples"),
    ],
)
def test_scores_that_cannot_be_resampled_are_named(one: RunData, examples: object, problem: str) -> None:
    run = replace(one, id="other", examples=examples)  # type: ignore[arg-type]
    entries = ResampledEntries([one, run])
    vector = entries(run, 1, 1)
    assert vector is not None
    assert vector[0] == 62.5
    assert np.isnan(vector[1:]).all()
    assert entries.problems == {("other", "a"): problem}


def test_runs_on_other_examples_are_not_resampled_together(one: RunData) -> None:
    other = replace(one, id="other", examples={(1, "a"): {f"x{key}": value for key, value in SCORES.items()}})
    assert ResampledEntries([one, other]).problems == {("other", "a"): "other runs were scored on other examples"}


def test_weighted_sums_and_means_need_every_entry(plain: RunData) -> None:
    first = weighted({(1, 1): 0.5, (2, 1): -0.5}, lambda t, i: observed(plain, t, i))
    assert first is not None
    assert first.tolist() == [190.0]
    assert weighted({(1, 1): 0.5, (1, 2): 0.5}, lambda t, i: observed(plain, t, i)) is None
    assert weighted({}, lambda t, i: observed(plain, t, i)) is None
    assert mean_vector([first, None]) is mean_vector([]) is None
