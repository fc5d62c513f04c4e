"""The limits of axes of scores: those of the scale, so that a small difference looks small."""

from __future__ import annotations

from collections.abc import Iterable

from micl_cli.report.data import Scale

LEAST_CHANGE = 10.0
"""The smallest change, in points, that an axis of changes has room for on either side of 0."""
_ROOM = 1.08
"""The length of an axis that ends with its values, relative to the largest of them."""
Limits = tuple[float, float]


def score_limits(scale: Scale | None, values: Iterable[float | None]) -> Limits:
    """Return the limits of an axis of scores (x100): those of the scale, or else 0 and the highest value.

    Values outside, as those of intervals, extend the axis. A scale that is unknown, or that ends far above what is
    reached, as that of CIDEr, has no upper limit here.
    """
    known = [value for value in values if value is not None]
    lowest, highest = min(known, default=0.0), max(known, default=0.0)
    low, high = _bounds(scale) or (0.0, 0.0)
    high = high if highest <= high else _ROOM * highest
    return (low if low <= lowest else _ROOM * lowest), high or LEAST_CHANGE


def change_limits(values: Iterable[float | None]) -> Limits:
    """Return the limits of an axis of changes in points, which are symmetric around 0."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    half = max(LEAST_CHANGE, _ROOM * largest)
    return -half, half


def common_scale(scales: Iterable[Scale | None]) -> Scale | None:
    """Return the scale that all scores of an axis have, or None."""
    found = set(scales)
    return found.pop() if len(found) == 1 else None


def _bounds(scale: Scale | None) -> Limits | None:
    """Return the bounds of a scale x100, or None if it has none that scores reach."""
    if scale is None or scale[1] > 1:
        return None
    return 100 * min(scale[0], 0.0), 100 * scale[1]
