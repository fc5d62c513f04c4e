"""Resampling of sounds to the sample rate of an encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from micl_cli.api import Sound


def resample(sound: Sound, rate: int) -> NDArray[np.float32]:
    """Return a sound's samples at another rate, by linear interpolation if its own rate differs."""
    samples: NDArray[np.float32] = sound.samples
    if sound.rate == rate or not len(samples):
        return samples
    times = np.arange(round(len(samples) * rate / sound.rate)) * (sound.rate / rate)
    return np.asarray(np.interp(times, np.arange(len(samples)), samples), dtype=np.float32)
