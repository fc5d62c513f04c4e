"""Boxes in answers, as ``[x1, y1, x2, y2]``, and their overlap."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

# Not the digits of a name such as "x1".
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_PIXELS = 2.0
"""A box with a coordinate of at least this is in pixels: normalised coordinates of models may slightly exceed 1."""


class Box(NamedTuple):
    """Two opposite corners of a box: left, top, right, bottom."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """The area; 0 if the corners are in the wrong order."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    @property
    def normalised(self) -> bool:
        """Whether the coordinates are normalised, and not pixels."""
        return max(map(abs, self)) < _PIXELS

    def in_pixels(self, size: Sequence[float]) -> Box:
        """Return a box on the padded square of an image of ``size`` (width, height), in pixels of the image.

        Models of the LLaVA family pad an image to a centred square of its longer side.
        """
        side = max(size)
        left, top = (side - size[0]) / 2, (side - size[1]) / 2
        return Box(side * self.x1 - left, side * self.y1 - top, side * self.x2 - left, side * self.y2 - top)


def parse_box(text: str) -> Box | None:
    """Return the box of the first four numbers in ``text``, or None if it has fewer."""
    return to_box([float(number) for number in _NUMBER.findall(text)[:4]])


def to_box(value: Any) -> Box | None:
    """Return the box that ``value`` holds, as four finite numbers or as text with four numbers, or None."""
    if isinstance(value, str):
        return parse_box(value)
    if not isinstance(value, Sequence) or len(value) != 4:
        return None
    numbers = [float(v) for v in value if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)]
    return Box(*numbers) if len(numbers) == 4 else None


def iou(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes in 0..1, 0 if neither has an area."""
    shared = Box(max(one.x1, other.x1), max(one.y1, other.y1), min(one.x2, other.x2), min(one.y2, other.y2)).area
    union = one.area + other.area - shared
    return shared / union if union > 0 else 0.0
