"""Characters that control a terminal or reverse the order of what is shown: found in names, escaped in output."""

from __future__ import annotations

import unicodedata

_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, halves of surrogate pairs, line and paragraph separators."""

_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e" + "\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates of the text direction, which can disguise a name."""


def is_control(character: str) -> bool:
    """Return whether a character must not occur in a name, and is escaped where it is shown.

    Spaces of any width, joiners and other characters of ordinary writing are not controls.
    """
    return unicodedata.category(character) in _CATEGORIES or character in _OVERRIDES


def has_control(text: str) -> bool:
    """Return whether ``text`` contains a control character (see :func:`is_control`)."""
    return not text.isprintable() and any(map(is_control, text))


def escape(text: str, keep: str = "") -> str:
    r"""Return ``text`` with control characters as escapes such as ``\x1b``, except those in ``keep``."""
    if not has_control(text):
        return text
    return "".join(c if c in keep or not is_control(c) else c.encode("unicode_escape").decode() for c in text)
