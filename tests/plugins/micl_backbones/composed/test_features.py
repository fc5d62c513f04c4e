"""Features of media from frozen encoders: read once, cached by encoder, and never of one that learns."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ready, resources
from torch import Tensor

from micl_backbones.composed.backbone import Composed
from micl_cli.api import Media
from micl_cli.testing import toy_media, toy_task


@pytest.fixture
def backbone(preset: Path) -> Composed:
    return ready(Composed(str(preset), resources=resources()), scale=0.0)


class Cache:
    """A feature cache in memory that records what was computed."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Tensor] = {}
        self.computed: list[str] = []

    def __call__(self, key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], Tensor]) -> Tensor:
        for medium in media:
            if (key, medium.digest) not in self.known:
                self.known[key, medium.digest] = compute([medium])[0]
                self.computed.append(medium.digest)
        return torch.stack([self.known[key, medium.digest] for medium in media])


@torch.no_grad()
def test_each_medium_is_read_once_and_answers_stay_the_same(backbone: Composed) -> None:
    examples = toy_task("image", "captioning").examples("train")
    plain, _ = backbone.answer_logits(backbone.batch(examples))
    read: list[str] = []

    def reader(medium: Media, options: Mapping[str, Any]) -> Any:
        read.append(medium.digest)
        return toy_media(medium, options)

    backbone.read, backbone.cache = reader, Cache()
    for _ in range(3):
        kept, _ = backbone.answer_logits(backbone.batch(examples))
    assert torch.equal(kept, plain)
    assert sorted(read) == sorted(medium.digest for example in examples for medium in example.media)


def test_nothing_is_kept_of_an_encoder_that_learns(backbone: Composed) -> None:
    examples = toy_task("image", "captioning").examples("train")
    backbone.cache = kept = Cache()
    backbone.modules.encoders["image"].requires_grad_(True)
    backbone.loss(backbone.batch(examples)).backward()
    assert not kept.computed
    assert all(weight.grad is not None for weight in backbone.modules.encoders["image"].parameters())
    backbone.features(toy_task("audio", "captioning").examples("train"))
    assert kept.computed, "the other encoder is frozen"


def test_features_are_kept_apart_by_modality_weights_and_settings(preset: Path, tmp_path: Path) -> None:
    other = shutil.copytree(preset.parent, tmp_path / "other") / "small.toml"
    other.write_text(other.read_text().replace("seconds = 0.5", "seconds = 0.52"))
    (one, two), keys = (Composed(str(path), resources=resources()) for path in (preset, other)), []
    for made in (one, two):
        made.read, made.cache = toy_media, (kept := Cache())
        for modality in ("image", "audio"):
            made.features(toy_task(modality, "qa").examples("train")[:1])
        keys.append([key for key, _ in kept.known])
    assert keys[0][0] == keys[1][0], "the image encoder is the same"
    assert keys[0][1] != keys[1][1], "the sound's transform is another"
    assert len({*keys[0], *keys[1]}) == 3


def test_readers_are_told_what_the_encoder_wants(backbone: Composed) -> None:
    wanted: list[Mapping[str, Any]] = []

    def reader(medium: Media, options: Mapping[str, Any]) -> Any:
        wanted.append(options)
        return toy_media(medium, options)

    backbone.read = reader
    backbone.features(toy_task("audio", "qa").examples("train")[:1])
    assert wanted == [{"rate": 8000, "seconds": 0.5}]
