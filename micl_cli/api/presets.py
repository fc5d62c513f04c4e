"""Presets: models that a backbone knows by name, and what is told while their weights are fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

Tell = Callable[[str, int, int], None]
"""Told of a download: (name, bytes that are there, bytes in all)."""


@dataclass(frozen=True, kw_only=True)
class PresetInfo:
    """A model that a backbone knows by name.

    ``bytes`` is what it takes on disk, or what is fetched; ``ready`` whether it can be used without
    a network; ``fetchable`` whether `micl backbones fetch` gets it.
    """

    name: str
    summary: str
    modalities: frozenset[str]
    parameters: int
    bytes: int
    licence: str
    source: str
    ready: bool
    fetchable: bool = False

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return {**asdict(self), "modalities": sorted(self.modalities)}
