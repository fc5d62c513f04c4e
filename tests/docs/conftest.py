"""The generator of the documentation site, and a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from browser import chromium as chromium

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def generator() -> Iterator[ModuleType]:
    """The package that generates pages."""
    sys.path.insert(0, str(DOCS))
    import generator
    from generator import commands, hooks, interface, keys, outputs, parts  # noqa: F401

    yield generator
    sys.path.remove(str(DOCS))
