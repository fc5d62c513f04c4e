"""Presets of the composed backbone that are registered as backbones."""

from __future__ import annotations

from collections.abc import Sequence

from micl_backbones.composed.backbone import Composed
from micl_cli.api import PresetInfo, Resources


class _Named(Composed):
    """A preset registered as a backbone; it is listed among the presets of Composed."""

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        return ()


class Tiny(_Named):
    """Composed of the small models in this package: no download, no GPU."""


class TinyPlain(_Named):
    """Composed of small models in this package that were trained on nothing of mini."""

    preset_name = "tiny-plain"


class Smol(_Named):
    """Composed of pretrained models of laptop size, downloaded by `micl backbones fetch smol`."""

    preset_name = "smol"
