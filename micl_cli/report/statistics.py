"""Statistics over seeds: intervals, paired tests, Holm's correction, equivalence and ranks.

The unit is the seed. A sample holds one value for each seed; orders and attempts have been averaged before.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from micl_cli.report.options import IntervalMethod

if TYPE_CHECKING:
    from micl_cli.report.vectors import Vector

CONFIDENCE = 0.95
EQUIVALENCE = 0.90
"""The confidence of the interval that must be within the margin: two one-sided tests at 5 % (Schuirmann 1987)."""
ALPHA = 0.05
RESAMPLES = 9999
FEWEST_VALUES = 3
"""The fewest different values for which a BCa interval is computed."""
ENOUGH_SEEDS = 10
"""The number of seeds below which a bootstrap interval is too narrow."""
ROUNDING = 1e-9
"""The relative difference up to which values are equal."""
_RANDOM_SEED = 20240613


@dataclass(frozen=True)
class Mean:
    """A mean with its confidence interval, which is None if it cannot be computed, as for a single value."""

    mean: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | None]:
        """Return JSON-ready fields."""
        return asdict(self)


@dataclass(frozen=True)
class Sample:
    """The values of a figure by seed.

    A value is a vector: the observed value, followed by the value for each resample of the test examples if examples
    are resampled (NaN where those of this value cannot be resampled).
    """

    vectors: Mapping[int, Vector]

    @property
    def values(self) -> list[float]:
        """The observed values, one for each seed."""
        return [float(vector[0]) for vector in self.vectors.values()]

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.vectors)

    def minus(self, other: Sample) -> Sample:
        """Return the differences for the seeds that both samples have."""
        common = [seed for seed in self.vectors if seed in other.vectors]
        return Sample({seed: self.vectors[seed] - other.vectors[seed] for seed in common})


def estimate(sample: Sample, method: IntervalMethod = "t", confidence: float = CONFIDENCE) -> Mean:
    """Return the mean of a sample of one or more seeds, with its interval by ``method``."""
    if method == "t":
        return mean_of(sample.values, confidence)
    bounds = _bca if method == "bca" else _hierarchical
    return Mean(fmean(sample.values), *bounds(sample, confidence))


def mean_of(values: Sequence[float], confidence: float = CONFIDENCE) -> Mean:
    """Return the mean of one or more values, with its interval by Student's t."""
    centre = fmean(values)
    if len(values) == 1:
        return Mean(centre, None, None)
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return Mean(centre, centre - half, centre + half)


def _bca(sample: Sample, confidence: float) -> tuple[float | None, float | None]:
    """Return the bias-corrected and accelerated bootstrap interval over seeds (Efron 1987)."""
    if len(set(sample.values)) < FEWEST_VALUES:
        return None, None
    import numpy as np
    from scipy.stats import bootstrap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate sample gives bounds that are not numbers
        bounds = bootstrap(
            (sample.values,),
            np.mean,
            confidence_level=confidence,
            n_resamples=RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(_RANDOM_SEED),
        ).confidence_interval
    low, high = float(bounds.low), float(bounds.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _hierarchical(sample: Sample, confidence: float) -> tuple[float | None, float | None]:
    """Return the percentile interval over resampled seeds, each with the values of resampled test examples."""
    import numpy as np

    resampled = np.stack([vector[1:] for vector in sample.vectors.values()])
    seeds, resamples = resampled.shape
    if not resamples or np.isnan(resampled).any():
        return None, None
    drawn = np.random.default_rng(_RANDOM_SEED).integers(seeds, size=(seeds, resamples))
    means = np.take_along_axis(resampled, drawn, axis=0).mean(axis=0)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def spread(samples: Iterable[Sequence[float]]) -> float | None:
    """Return the pooled sample standard deviation within samples, or None if none has two values."""
    several = [values for values in samples if len(values) > 1]
    degrees = sum(len(values) - 1 for values in several)
    total = math.fsum((len(values) - 1) * stdev(values) ** 2 for values in several)
    return math.sqrt(total / degrees) if degrees else None


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; 1 is the highest, and equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata([-value for value in values])]


def paired_p(differences: Sequence[float]) -> float | None:
    """Return the two-sided p value of the paired t test of ``differences``, or None if they do not vary.

    The scores of a few hundred examples are coarse, so that the differences of two or three seeds may be equal by
    chance. They tell nothing of their error then, and a t test would call any difference certain.
    """
    if not vary(differences):
        return None
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def vary(values: Sequence[float]) -> bool:
    """Return whether there are several values, which differ by more than rounding."""
    return len(values) > 1 and max(values) - min(values) > ROUNDING * max(1.0, *map(abs, values))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted for all tests together (Holm 1979); None stands for a test that could not be made."""
    adjusted: list[float | None] = [None] * len(values)
    tests = sorted((value, at) for at, value in enumerate(values) if value is not None)
    largest = 0.0
    for passed, (value, at) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - passed) * value))
        adjusted[at] = largest
    return adjusted


def is_equivalent(interval: Mean, margin: float) -> bool:
    """Return whether the interval of a difference, at EQUIVALENCE confidence, lies within ±``margin``."""
    if interval.low is None or interval.high is None:
        return False
    return -margin < interval.low and interval.high < margin


def is_different(interval: Mean, adjusted: float | None) -> bool:
    """Return whether a difference is significant: by its adjusted p value, and by its interval if there is one."""
    around_zero = interval.low is not None and interval.high is not None and interval.low <= 0 <= interval.high
    return adjusted is not None and adjusted < ALPHA and not around_zero
