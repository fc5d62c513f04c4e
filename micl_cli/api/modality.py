"""Modalities: readers of media from disk into a canonical form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sound(NamedTuple):
    """Mono sound: ``samples`` float32 in [-1, 1], shape [n]; ``rate`` in samples per second."""

    samples: NDArray[np.float32]
    rate: int


class Clip(np.ndarray[Any, np.dtype[np.uint8]]):
    """Frames of a video, an array uint8 RGB [frames, height, width, 3], with the times at which they are shown.

    ``times`` float64 [frames] are seconds from the beginning of the clip, in ascending order; ``duration`` is the
    length of the whole clip in seconds. Arrays derived from a clip (slices, copies) have no times: both are None.
    """

    times: NDArray[np.float64] | None
    duration: float | None

    def __new__(cls, frames: NDArray[np.uint8], times: Sequence[float] | NDArray[np.float64], duration: float) -> Clip:
        if len(times) != len(frames):
            raise ValueError(f"{len(frames)} frames cannot have {len(times)} times")
        clip = np.asarray(frames, dtype=np.uint8).view(cls)
        clip.times, clip.duration = np.asarray(times, dtype=np.float64), float(duration)
        return clip

    def __array_finalize__(self, source: object) -> None:
        self.times = self.duration = None


class Modality(ABC):
    """Reads media of one modality. Options are keyword-only constructor parameters.

    Canonical forms: image, uint8 RGB [height, width, 3]; audio, :class:`Sound`; video, :class:`Clip`, sampled evenly
    in time. A plain array of frames is accepted as a video whose times are unknown. Increment ``version`` when the
    same file is read differently, to invalidate cached encoder outputs.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    augments: ClassVar[bool] = False
    """Whether reading is random (crops, noise), so that encoder outputs must not be cached."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Return the medium in its canonical form. Raises MediaError if it cannot be read.

        Several threads may call it at the same time, unless the modality augments.
        """

    @abstractmethod
    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Decode the file once and return its properties (size, seconds, frames).

        Raises MediaError with the file and the reason.
        """
