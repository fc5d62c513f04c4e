"""Statistics over seeds, against scipy, and against examples worked by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_cli.report.statistics import (
    Mean,
    Sample,
    estimate,
    holm,
    is_different,
    is_equivalent,
    mean_of,
    paired_p,
    ranks,
    spread,
)

VALUES = st.floats(-1000, 1000).map(lambda value: round(value, 3))
P = st.floats(0, 1)


def sample(*values: float) -> Sample:
    return Sample({seed: np.array([value]) for seed, value in enumerate(values)})


class TestMean:
    def test_by_hand(self) -> None:
        # Mean 3, sample standard deviation 1, so 3 -+ 4.3027 / sqrt(3).
        found = mean_of([2.0, 3.0, 4.0])
        assert (found.mean, found.low, found.high) == pytest.approx((3.0, 0.515863, 5.484137), abs=1e-5)

    def test_a_single_value_has_no_interval(self) -> None:
        assert mean_of([7.5]) == Mean(7.5, None, None)

    def test_equal_values_have_an_interval_of_no_width(self) -> None:
        assert mean_of([2.0, 2.0, 2.0]) == Mean(2.0, 2.0, 2.0)

    @given(st.lists(VALUES, min_size=2, max_size=20), st.floats(0.5, 0.99))
    def test_against_scipy(self, values: list[float], confidence: float) -> None:
        found = mean_of(values, confidence)
        error = scipy.stats.sem(values)
        if error > 1e-9:
            expected = scipy.stats.t.interval(confidence, len(values) - 1, np.mean(values), error)
            assert (found.low, found.high) == pytest.approx(expected)


class TestBCa:
    def test_against_scipy(self) -> None:
        values = [3.0, 4.5, 4.0, 9.0, 5.5, 4.25]
        found = estimate(sample(*values), "bca")
        expected = scipy.stats.bootstrap((values,), np.mean, n_resamples=40_000, rng=7).confidence_interval
        assert found.mean == pytest.approx(np.mean(values))
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.1)

    def test_equal_reports_have_equal_intervals(self) -> None:
        assert estimate(sample(1.0, 2.0, 4.0), "bca") == estimate(sample(1.0, 2.0, 4.0), "bca")

    @pytest.mark.parametrize("values", [(1.0,), (1.0, 2.0), (1.0, 2.0, 2.0), (3.0, 3.0, 3.0)])
    def test_fewer_than_three_different_values_have_no_interval(self, values: tuple[float, ...]) -> None:
        found = estimate(sample(*values), "bca")
        assert (found.low, found.high) == (None, None)


class TestHierarchical:
    def resampled(self, *errors: float) -> Sample:
        """Seeds of mean 50, each of which varies by its error over resamples of the examples."""
        draws = np.random.default_rng(1).normal(size=4000)
        return Sample({seed: np.concatenate([[50.0], 50 + error * draws]) for seed, error in enumerate(errors)})

    def test_one_seed_has_the_interval_of_its_examples(self) -> None:
        found = estimate(self.resampled(2.0), "hierarchical")
        assert (found.mean, found.low, found.high) == pytest.approx((50.0, 50 - 1.96 * 2, 50 + 1.96 * 2), abs=0.25)

    def test_seeds_on_one_test_set_do_not_average_its_error_out(self) -> None:
        one, three = (estimate(self.resampled(*errors), "hierarchical") for errors in ((2.0,), (2.0,) * 3))
        assert three.low == pytest.approx(one.low, abs=0.1)

    def test_seeds_that_differ_widen_the_interval(self) -> None:
        vectors = self.resampled(2.0, 2.0, 2.0).vectors
        apart = Sample({seed: vector + 10 * seed for seed, vector in vectors.items()})
        found = estimate(apart, "hierarchical")
        assert found.low is not None and found.high is not None
        assert found.high - found.low > 12

    def test_examples_that_cannot_be_resampled_leave_no_interval(self) -> None:
        vectors = {0: np.array([1.0, 1.5, 0.5]), 1: np.array([2.0, np.nan, np.nan])}
        assert estimate(Sample(vectors), "hierarchical") == Mean(1.5, None, None)


class TestPairedTest:
    @given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=12))
    def test_against_scipy(self, pairs: list[tuple[float, float]]) -> None:
        first, second = zip(*pairs, strict=True)
        differences = sample(*first).minus(sample(*second)).values
        if len(set(differences)) > 1 and np.std(differences) > 1e-6:
            assert paired_p(differences) == pytest.approx(scipy.stats.ttest_rel(first, second).pvalue)

    def test_by_hand(self) -> None:
        # Differences 1, 2, 3: t = 2 / (1 / sqrt(3)) = 3.4641 at 2 degrees of freedom, where p = 1 - t / sqrt(2 + t^2).
        t = 2 * sqrt(3)
        assert paired_p([1.0, 2.0, 3.0]) == pytest.approx(1 - t / sqrt(2 + t**2))

    @pytest.mark.parametrize("differences", [[], [1.0], [0.0, 0.0], [2.0, 2.0], [0.3, 0.1 + 0.2, 0.3]])
    def test_differences_that_do_not_vary_are_not_tested(self, differences: list[float]) -> None:
        assert paired_p(differences) is None


class TestHolm:
    def test_by_hand(self) -> None:
        # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1; each at least as large as the one before.
        assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])

    def test_tests_that_could_not_be_made_do_not_count(self) -> None:
        assert holm([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
        assert holm([]) == []

    @given(st.lists(P, min_size=1, max_size=30))
    def test_is_between_no_correction_and_bonferroni_and_keeps_the_order(self, values: list[float]) -> None:
        adjusted = holm(values)
        for value, other in zip(values, adjusted, strict=True):
            assert other is not None
            assert value <= other <= min(1.0, len(values) * value) + 1e-12
        pairs = sorted(zip(values, adjusted, strict=True), key=lambda pair: (pair[0], pair[1] or 0))
        assert [other for _, other in pairs] == sorted(other for other in adjusted if other is not None)


class TestEquivalence:
    def test_two_one_sided_tests_by_hand(self) -> None:
        # Differences 0.2, 0.4, 0.6: 0.4 -+ 2.92 x 0.2 / sqrt(3), t of 0.95 at 2 degrees of freedom.
        interval = mean_of([0.2, 0.4, 0.6], 0.90)
        assert (interval.low, interval.high) == pytest.approx((0.4 - 0.33717, 0.4 + 0.33717), abs=1e-4)
        assert is_equivalent(interval, 0.74)
        assert not is_equivalent(interval, 0.73)

    @given(st.lists(VALUES, min_size=2, max_size=8), st.floats(0.1, 500))
    @settings(max_examples=50)
    def test_agrees_with_two_one_sided_t_tests(self, values: list[float], margin: float) -> None:
        if np.std(values) < 1e-6:
            return
        lower = scipy.stats.ttest_1samp(values, -margin, alternative="greater").pvalue
        upper = scipy.stats.ttest_1samp(values, margin, alternative="less").pvalue
        if abs(max(lower, upper) - 0.05) > 1e-6:
            assert is_equivalent(mean_of(values, 0.90), margin) == (max(lower, upper) < 0.05)

    def test_without_an_interval_nothing_is_equivalent(self) -> None:
        assert not is_equivalent(Mean(0.0, None, None), 100.0)

    def test_a_difference_needs_its_p_value_and_its_interval(self) -> None:
        assert is_different(Mean(5.0, 1.0, 9.0), 0.01)
        assert is_different(Mean(5.0, None, None), 0.01)
        assert not is_different(Mean(5.0, -1.0, 11.0), 0.01)
        assert not is_different(Mean(5.0, 1.0, 9.0), 0.05)
        assert not is_different(Mean(5.0, 1.0, 9.0), None)


class TestRanks:
    def test_equal_values_share_their_ranks(self) -> None:
        assert ranks([80.0, 95.0, 80.0, 10.0]) == [2.5, 1.0, 2.5, 4.0]

    @given(st.lists(VALUES, min_size=1, max_size=12))
    def test_sum_and_order(self, values: list[float]) -> None:
        found = ranks(values)
        assert sum(found) == pytest.approx(len(values) * (len(values) + 1) / 2)
        for value, rank in zip(values, found, strict=True):
            assert all((rank < other) == (value > v) for v, other in zip(values, found, strict=True) if v != value)


def test_spread_pools_the_variances_within_samples() -> None:
    # Variances 2 (1 degree of freedom) and 1 (2 degrees of freedom).
    assert spread([[1.0, 3.0], [10.0, 11.0, 12.0], [99.0]]) == pytest.approx(sqrt((2 + 2 * 1) / 3))
    assert spread([[1.0], []]) is None
