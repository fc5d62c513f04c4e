from __future__ import annotations

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
