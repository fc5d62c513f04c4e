"""Resources of the installation that a plugin may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PartLoader = Callable[[str, str], type[Any]]
"""Returns the class of a registered plugin by kind and name: ("encoders", "conv-image"). Raises PluginError."""


@dataclass(frozen=True)
class Resources:
    """The home folder, and a loader for registered plugins.

    Backbones receive it as an argument, so that they need not read environment variables.
    """

    home: Path
    load_part: PartLoader

    @property
    def weights(self) -> Path:
        """The folder for downloaded weights, below the home folder."""
        return self.home / "weights"
