"""The page of troubleshooting quotes messages as the code has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GAP = "…"
"""Stands for a value that is filled in."""


def texts() -> Iterator[str]:
    """Yield the texts in the sources, with a gap for each value that is filled in."""
    for folder in ("micl_cli", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr | ast.Constant):
                    yield flat(node)


def flat(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(flat(each) if isinstance(each, ast.Constant) else GAP for each in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def messages() -> list[str]:
    """Return the messages that are headings of the page."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return [match.replace("\\", "") for match in re.findall(r"^### `(.+)`$", page, re.MULTILINE)]


def test_messages_are_those_of_the_code() -> None:
    known = {re.sub(f"{GAP}+", GAP, text) for text in texts()}
    joined = "\n".join(known)
    quoted = [re.sub(f"{GAP}+", GAP, message).strip(GAP) for message in messages()]
    assert len(quoted) > 40
    assert not [message for message in quoted if message not in joined]


def test_every_message_has_a_way_out() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sections = re.split(r"^#+ ", page, flags=re.MULTILINE)
    assert not [each for each in sections if each.startswith("`") and len(each.splitlines()) < 3]
