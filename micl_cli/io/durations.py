"""Times as text."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Return a time in its two largest units: "4.2 s", "3 min 20 s", "1 h 05 min" or "2 d 03 h"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    return "{} d {:02d} h".format(*divmod(hours, 24))
