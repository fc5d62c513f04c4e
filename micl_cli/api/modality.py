"""Modalities: how a medium is read from disk into its one canonical form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sound(NamedTuple):
    """Mono sound: ``samples`` float32 in [-1, 1], shape [n]; ``rate`` in samples a second."""

    samples: NDArray[np.float32]
    rate: int


class Modality(ABC):
    """Reads one kind of medium. Options are keyword-only constructor parameters.

    Canonical forms: image, uint8 RGB [height, width, 3]; audio, :class:`Sound`; video, uint8
    RGB frames [frames, height, width, 3] sampled evenly over the clip.
    """

    name: ClassVar[str]
    augments: ClassVar[bool] = False
    """True where one file is read differently each time (crops, noise): what encoders make of it is then never kept."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Return the medium in its canonical form. Raises MediaError where that cannot be."""

    @abstractmethod
    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Open the file once, decode it, and return its facts (size, seconds, frames).

        Raises MediaError with the file and the reason.
        """
