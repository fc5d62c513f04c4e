"""Escaping of characters that control a terminal or mislead a reader."""

from __future__ import annotations

from micl_cli.io.characters import escape


def visible(text: str) -> str:
    r"""Return ``text`` with control characters and overrides of the text direction as escapes such as ``\x1b``."""
    return escape(text)
