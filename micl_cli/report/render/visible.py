"""Escaping of characters that control a terminal or mislead a reader."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Return ``text`` with control, format and unassigned characters as escapes such as ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
