"""Presets: models that a backbone offers by name, and the progress of fetching their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

FetchProgress = Callable[[str, int, int], None]
"""Called during a download with its name, the bytes received so far, and the total bytes."""


@dataclass(frozen=True, kw_only=True)
class PresetInfo:
    """A model that a backbone offers by name.

    ``bytes`` is its size on disk, or of the download; ``ready`` is true if it can be used without
    a network; ``fetchable`` is true if `micl backbones fetch` can download it.
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
        """Return JSON-ready fields."""
        return {**asdict(self), "modalities": sorted(self.modalities)}
