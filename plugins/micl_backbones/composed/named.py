"""Presets of the composed backbone under names of their own."""

from __future__ import annotations

from collections.abc import Sequence

from micl_backbones.composed.backbone import Composed
from micl_cli.api import PresetInfo, Resources


class _Named(Composed):
    """A preset of Composed under a name of its own; it is listed there."""

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        return ()


class Tiny(_Named):
    """Composed from the small weights in this package: it needs no download and no GPU."""


class Smol(_Named):
    """Composed from real pretrained parts of laptop size: `micl backbones fetch smol` gets them once."""

    preset_name = "smol"
