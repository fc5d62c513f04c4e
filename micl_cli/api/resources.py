"""What a part may use of the installation that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PartLoader = Callable[[str, str], type[Any]]
"""Returns the class of a registered part by plugin kind and name: ("encoders", "conv-image"). Raises PluginError."""


@dataclass(frozen=True)
class Resources:
    """The home folder, and the registered parts.

    Backbones are handed it, so that none has to read the environment again.
    """

    home: Path
    load_part: PartLoader

    @property
    def weights(self) -> Path:
        """The folder below the home folder that fetched weights are kept in."""
        return self.home / "weights"
