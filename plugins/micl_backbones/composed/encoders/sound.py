"""Sounds at the sample rate that an encoder wants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from micl_cli.api import Sound


def resampled(sound: Sound, rate: int) -> NDArray[np.float32]:
    """A sound's samples at another rate, by linear interpolation where it was not read at that."""
    samples: NDArray[np.float32] = sound.samples
    if sound.rate == rate or not len(samples):
        return samples
    times = np.arange(round(len(samples) * rate / sound.rate)) * (sound.rate / rate)
    return np.asarray(np.interp(times, np.arange(len(samples)), samples), dtype=np.float32)
