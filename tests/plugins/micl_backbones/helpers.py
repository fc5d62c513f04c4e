"""Backbones for the tests, with adapters that change something."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from micl_backbones.composed.load import build_encoder
from micl_backbones.language import LanguageBackbone
from micl_cli.api import AdapterSpec, Encoder, Resources
from micl_cli.registry import Registry
from micl_cli.testing import toy_media

B = TypeVar("B", bound=LanguageBackbone)
NAMES = ("main", "other")
Make = Callable[..., LanguageBackbone]
"""Makes a fresh backbone of a kind, "composed" or "hf": see the fixture ``make``."""
KINDS = ("composed", "hf")


@cache
def resources(home: Path = Path("home")) -> Resources:
    """Return the resources of a home folder, with the parts that are installed."""
    return Resources(home, Registry.discover().load)


def encoder(family: str, **config: Any) -> Encoder:
    """Return a fresh encoder of a registered family."""
    return build_encoder(family, resources().load_part, **config)


def ready(backbone: B, *names: str, spec: AdapterSpec | None = None, scale: float = 0.1) -> B:
    """Let a backbone read toy media, and give it adapters that differ; the first one acts.

    Connectors and what is not low-rank are changed too.
    """
    backbone.read = toy_media
    for seed, name in enumerate(names or NAMES[:1], 1):
        backbone.adapters.add(name, spec, seed=seed)
        disturb(backbone, name, seed=seed + 2, scale=scale)
    backbone.adapters.activate((names or NAMES)[0])
    backbone.module.eval()
    return backbone


@torch.no_grad()
def disturb(backbone: LanguageBackbone, name: str, *, seed: int, scale: float = 0.1) -> None:
    """Add noise to an adapter's weights."""
    drawn = torch.Generator().manual_seed(seed)
    for weight in backbone.adapters.parameters(name).values():
        weight.add_((scale * torch.randn(weight.shape, generator=drawn)).to(weight))
