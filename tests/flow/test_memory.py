from __future__ import annotations

import sys

import numpy as np
import pytest

from micl_cli.flow.memory import peak_bytes, reset_peak


def test_the_peak_is_at_least_what_was_held() -> None:
    reset_peak()
    before = peak_bytes()
    held = np.ones(64 << 20, np.uint8)
    held[:] = 2
    assert peak_bytes() - before > 48 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_forgotten() -> None:
    held = np.ones(128 << 20, np.uint8)
    held[:] = 2
    high = peak_bytes()
    del held
    reset_peak()
    assert high - peak_bytes() > 64 << 20
