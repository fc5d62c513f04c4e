from __future__ import annotations

from math import cos, pi

import pytest

from micl_cli.api import Schedule


def test_the_rate_rises_linearly_then_falls_along_half_a_cosine() -> None:
    schedule = Schedule(steps=12, steps_per_epoch=4, warmup=0.25)
    factors = [schedule.factor(step) for step in range(12)]
    assert factors[:4] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1])
    assert factors[3:] == sorted(factors[3:], reverse=True)


def test_without_warmup_it_starts_at_its_peak_and_ends_at_nothing() -> None:
    schedule = Schedule(steps=10, steps_per_epoch=5)
    assert schedule.factor(0) == 1
    assert schedule.factor(5) == pytest.approx(0.5)
    assert schedule.factor(10) == pytest.approx(0)


def test_rates_are_those_of_earlier_versions_to_the_last_bit() -> None:
    """A run that is continued, or made again, has the learning rates that are stored with it."""
    schedule = Schedule(steps=150, steps_per_epoch=50, warmup=0.05)
    for step in range(8, 150):
        assert schedule.factor(step) == (1 + cos(pi * ((step - 8) / 142))) / 2
