"""Pretraining of the tiny encoders: each token learns to classify the attributes of its part of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi
from typing import Any

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor, nn
from torch.nn import functional as F

from micl_backbones.composed.load import build_encoder
from micl_cli.api import Encoder, Sound
from micl_cli.registry import Registry
from micl_tasks.mini import media, scenes
from micl_tasks.mini.language import FIELDS, draw
from micl_tasks.mini.scenes import ImageScene, SoundScene, Thing, VideoScene

IGNORE_INDEX = -100
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "image": {"family": "conv-image", "size": 48, "grid": 3, "channels": 96, "width": 64},
    "audio": {"family": "conv-sound", "rate": 8000, "seconds": 2.0, "tokens": 10, "channels": 96, "width": 64},
    "video": {"family": "conv-video", "frames": 4, "size": 48, "grid": 2, "channels": 96, "width": 64},
}
STEPS: Mapping[str, int] = {"image": 800, "audio": 800, "video": 800}
# The last class of each attribute is "nothing here".
ATTRIBUTES: Mapping[str, Mapping[str, int]] = {
    "image": {"colour": 7, "shape": 7},
    "audio": {"pitch": 4, "timbre": 7},
    "video": {"colour": 7, "shape": 7, "direction": 5, "speed": 3},
}
_CORNERS = dict(zip(scenes.PLACES, (0, 2, 6, 8), strict=True))

Labels = list[list[int]]


def _look(thing: Thing | None) -> list[int]:
    return [scenes.COLOURS.index(thing.colour), scenes.SHAPES.index(thing.shape)] if thing else [6, 6]


def _image(scene: ImageScene, rng: Generator) -> tuple[Any, Labels]:
    """Return pixels, and (colour, shape) for each of 3 x 3 tokens; corner tokens have the shape in their quarter."""
    things = {thing.place: thing for thing in scene.things}
    labels = [[IGNORE_INDEX, IGNORE_INDEX] for _ in range(9)]
    for place, token in _CORNERS.items():
        labels[token] = _look(things.get(place))
    return media.render_image(scene, rng), labels


def _audio(scene: SoundScene, rng: Generator) -> tuple[Any, Labels]:
    """Return samples, and (pitch, timbre) for each 0.2 seconds that clearly contain one event or none."""
    when, seconds = media.timing(scene, rng)
    labels = []
    for token in range(10):
        begin, end = token * 0.2, token * 0.2 + 0.2
        shares = [max(0.0, min(end, w.start + w.seconds) - max(begin, w.start)) / 0.2 for w in when]
        best = int(np.argmax(shares))
        tone = scene.tones[best]
        named = [scenes.PITCHES.index(tone.pitch), scenes.TIMBRES.index(tone.timbre)]
        labels.append(named if shares[best] > 0.5 else [3, 6] if sum(shares) < 0.1 else [IGNORE_INDEX, IGNORE_INDEX])
    return Sound(media.render_sound(scene, when, seconds, rng), media.RATE), labels


def _video(scene: VideoScene, rng: Generator) -> tuple[Any, Labels]:
    """Return frames, and (colour, shape, direction, speed) of the moving (even tokens) or still shape (odd)."""
    frames = media.render_video(scene, rng)
    mover = [*_look(scene.mover), scenes.DIRECTIONS.index(scene.direction), scenes.SPEEDS.index(scene.speed)]
    return _half_chroma(frames) if rng.random() < 0.8 else frames, [mover, [*_look(scene.still), 4, 2]] * 8


def _half_chroma(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return frames with colour at half the resolution, as in video codecs."""
    x = frames.astype(np.float32)
    luma = x.mean(-1, keepdims=True)
    rest = (x - luma).reshape(len(x), media.SIZE // 2, 2, media.SIZE // 2, 2, 3).mean((2, 4))
    halved: np.ndarray[Any, Any] = np.clip(luma + rest.repeat(2, 1).repeat(2, 2), 0, 255).astype(np.uint8)
    return halved


_RENDER: Mapping[str, Any] = {"image": _image, "audio": _audio, "video": _video}


def media_set(modality: str, encoder: Encoder, split: str, count: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Render ``count`` media of ``split``; return the encoder's inputs and labels [count, tokens, attributes]."""
    inputs, labels = [], []
    for _ in range(count):
        medium, named = _RENDER[modality](draw(FIELDS[modality], split, rng), rng)
        inputs.append(encoder.prepare(medium))
        labels.append(named)
    return torch.stack(inputs), torch.tensor(labels)


class Namer(nn.Module):
    """An encoder with one linear classifier per attribute, shared by all tokens."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        config = dict(CONFIGS[modality])
        self.encoder = build_encoder(config.pop("family"), Registry.discover().load, **config)
        self.readers = nn.ModuleList(nn.Linear(self.encoder.width, n) for n in ATTRIBUTES[modality].values())

    def forward(self, x: Tensor) -> list[Tensor]:
        tokens = self.encoder(x)
        return [reader(tokens) for reader in self.readers]

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the attributes' cross entropies."""
        return sum(
            (F.cross_entropy(out.flatten(0, 1), labels[..., i].flatten()) for i, out in enumerate(self(x))),
            torch.zeros(()),
        )


@torch.no_grad()
def accuracy(namer: Namer, modality: str, x: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the accuracy on labelled tokens by attribute, and the share of media without a mistake ("whole")."""
    outs = zip(*(namer(part) for part in x.split(100)), strict=True)
    guesses = torch.stack([torch.cat(out).argmax(-1) for out in outs], dim=-1)
    named, right = labels != IGNORE_INDEX, guesses == labels
    each = {name: right[..., i][named[..., i]].float().mean().item() for i, name in enumerate(ATTRIBUTES[modality])}
    return {**each, "whole": (right | ~named).flatten(1).all(1).float().mean().item()}


def train(modality: str, steps: int, batch_size: int, rate: float, seed: int, pool: int = 8000) -> Namer:
    """Train a new encoder to classify the attributes of rendered scenes of the train split."""
    torch.manual_seed(seed)
    namer, rng = Namer(modality), default_rng([seed, 3])
    inputs, labels = media_set(modality, namer.encoder, "train", pool, rng)
    optimizer = torch.optim.AdamW(namer.parameters(), rate, weight_decay=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * (1 + cos(pi * step / steps)) / 2)
        chosen = torch.from_numpy(rng.integers(pool, size=batch_size))
        loss = namer.loss(inputs[chosen], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(namer.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"{modality} step {step} loss {loss.item():.4f}", flush=True)
    return namer.eval()
