"""The stranger's plugins, installed as an installer would, for the tests of this folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

PLUGINS = ("moelora", "prompt_pool", "similarity", "points")


@pytest.fixture(autouse=True)
def installed(install: Callable[..., Path]) -> Iterator[dict[str, ModuleType]]:
    """Install a distribution with the four plugins; returns their modules by name."""
    here = Path(__file__).parent
    files = {f"stranger_{name}.py": (here / f"{name}.py").read_text() for name in PLUGINS}
    points = "[micl]\n" + "".join(f"{name} = stranger_{name}\n" for name in PLUGINS)
    install("micl-stranger", entry_points=points, files=files)
    yield {name: importlib.import_module(f"stranger_{name}") for name in PLUGINS}
    for name in PLUGINS:
        sys.modules.pop(f"stranger_{name}", None)
