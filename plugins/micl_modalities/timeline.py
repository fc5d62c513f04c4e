"""The times at which the frames of a clip are shown, in exact seconds from its first frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

_TOLERANCE = Fraction(2, 1000)
"""The largest error of a rounded timestamp in seconds; Matroska stores whole milliseconds."""


class Stamp(NamedTuple):
    """When a frame is shown and for how long, in seconds; None or 0 if the file does not tell."""

    start: Fraction | None
    duration: Fraction


@dataclass(frozen=True)
class Timeline:
    """The ``starts`` of all frames in display order, the first at 0, and the end of the last one, ``duration``.

    ``tick`` is the unit of the file's timestamps, and ``interval`` the nominal time between frames.
    """

    starts: Sequence[Fraction]
    duration: Fraction
    tick: Fraction
    interval: Fraction

    @classmethod
    def of(cls, stamps: Iterable[Stamp], tick: Fraction, interval: Fraction) -> Timeline:
        """Return the timeline of frames in display order; times that are missing or do not ascend are estimated."""
        starts: list[Fraction] = []
        first = last = Fraction(0)
        for stamp in stamps:
            start = last if stamp.start is None else stamp.start - first
            if not starts:
                first, start = stamp.start or Fraction(0), Fraction(0)
            elif start <= starts[-1]:
                start = last
            starts.append(start)
            last = start + (stamp.duration or (start - starts[-2] if len(starts) > 1 else 0) or interval)
        return cls(starts, last, tick, interval)

    def middles(self, segments: int) -> list[Fraction]:
        """Return the middle of each of ``segments`` equal parts of the clip."""
        return [self.duration * (2 * segment + 1) / (2 * segments) for segment in range(segments)]

    def indices(self, segments: int) -> list[int]:
        """Return the index of the frame that is shown in the middle of each of ``segments`` equal parts."""
        # A frame that begins exactly in the middle, but whose rounded timestamp is later, is the one that is shown.
        is_rounded = self.interval % self.tick != 0
        tolerance = min(2 * self.tick, self.interval / 4, _TOLERANCE) if is_rounded else Fraction(0)
        return [max(0, bisect_right(self.starts, middle + tolerance) - 1) for middle in self.middles(segments)]
