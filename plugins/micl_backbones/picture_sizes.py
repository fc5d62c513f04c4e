"""The size of pictures after a processor has resized them."""

from __future__ import annotations

from typing import Any

MAX_PIXELS = 64_000_000
"""Larger pictures would take gigabytes as floating-point numbers."""


def enlarged_too_far(processor: Any, width: int, height: int) -> str:
    """Return why a picture is too long for a processor that scales its shorter side to a fixed size; else empty."""
    size = getattr(processor, "size", None) or {}
    shortest = size.get("shortest_edge")
    if not shortest or size.get("longest_edge") or not min(width, height):
        return ""
    scale = shortest / min(width, height)
    wide, high = round(width * scale), round(height * scale)
    if wide * high <= MAX_PIXELS:
        return ""
    return f"it is {width} x {height}, which the checkpoint's processor would enlarge to {wide} x {high}"
