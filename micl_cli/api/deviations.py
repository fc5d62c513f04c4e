"""Statements of plugins about their deviations from a paper."""

from __future__ import annotations

import inspect
import re
from typing import Any


def deviations_of(cls: type[Any]) -> str:
    """Return the paragraph of a plugin's module docstring that begins with "Deviations", or an empty text."""
    module = inspect.getmodule(cls)
    text = inspect.cleandoc(module.__doc__) if module and module.__doc__ else ""
    return "\n".join(each for each in re.split(r"\n\s*\n", text) if each.startswith("Deviations"))
