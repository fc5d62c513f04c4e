"""Modalities: readers of media from disk into a canonical form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sound(NamedTuple):
    """Mono sound: ``samples`` float32 in [-1, 1], shape [n]; ``rate`` in samples per second."""

    samples: NDArray[np.float32]
    rate: int


class Modality(ABC):
    """Reads media of one modality. Options are keyword-only constructor parameters.

    Canonical forms: image, uint8 RGB [height, width, 3]; audio, :class:`Sound`; video, uint8
    RGB frames [frames, height, width, 3] sampled evenly over the clip.
    """

    name: ClassVar[str]
    augments: ClassVar[bool] = False
    """Whether reading is random (crops, noise), so that encoder outputs must not be cached."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Return the medium in its canonical form. Raises MediaError if it cannot be read."""

    @abstractmethod
    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Decode the file once and return its properties (size, seconds, frames).

        Raises MediaError with the file and the reason.
        """
