"""Training of the encoders of tiny-plain on media unlike mini's: random outlines, textures, tones and motions.

Like a pretrained vision encoder, which has seen photographs of other things, they learn to recognise outlines and
timbres that no shape or sound of mini has, and to measure colours, pitches, speeds and sizes as numbers. They learn no
attribute of mini as a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from senses import CONFIGS
from torch import Tensor, nn
from torch.nn import functional as F

from micl_backbones.composed.load import build_encoder
from micl_cli.api import Sound
from micl_cli.registry import Registry

STEPS: Mapping[str, int] = {"image": 2000, "audio": 1000, "video": 1000}
POOL: Mapping[str, int] = {"image": 16000, "audio": 8000, "video": 8000}
"""Numbers of media that are drawn for training."""
SIZE, FRAMES, RATE = 48, 8, 8000
OUTLINES, TIMBRES, NOTHING = 60, 48, -100
Floats = NDArray[np.float64]


class Labels(NamedTuple):
    """For each token of a medium: a class, NOTHING where there is none, and measures, NaN where there are none."""

    classes: NDArray[np.int64]
    measures: Floats


_world = default_rng(20261)
_angles = np.linspace(0, 2 * pi, 181)


def _outline() -> Floats:
    """Return the radius of a random outline at 181 angles, of mean 1: smooth, jagged or with corners."""
    order = int(_world.integers(2, 8))
    wave = np.cos(order * _angles + _world.uniform(0, 2 * pi))
    wave = np.sign(wave) * np.abs(wave) ** _world.uniform(0.3, 2.5)
    second = np.cos(int(_world.integers(1, 5)) * _angles + _world.uniform(0, 2 * pi))
    radius: Floats = np.clip(1 + _world.uniform(0.05, 0.5) * wave + _world.uniform(0, 0.25) * second, 0.25, None)
    return radius / radius.mean()


_OUTLINES = [(_outline(), _world.uniform(0.3, 0.6) if _world.random() < 0.3 else 0.0) for _ in range(OUTLINES)]
"""Outlines, each with the relative radius of its hole."""


def _blob(number: int, centre: Floats, radius: float, turn: float) -> Floats:
    """Return the fraction of each pixel that an outline covers, [SIZE, SIZE]."""
    outline, hole = _OUTLINES[number]
    x, y = np.meshgrid(np.arange(SIZE) + 0.5 - centre[0], np.arange(SIZE) + 0.5 - centre[1])
    distance, angle = np.hypot(x, y), (np.arctan2(y, x) - turn) % (2 * pi)
    edge = radius * np.interp(angle, _angles, outline)
    cover: Floats = np.clip(edge - distance + 0.5, 0, 1)
    return cover * np.clip(distance - hole * radius + 0.5, 0, 1) if hole else cover


def _ground(rng: Generator) -> Floats:
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE))
    slope = rng.uniform(-25, 25) * x + rng.uniform(-25, 25) * y
    ground: Floats = rng.uniform(0, 110, 3) + slope[..., None]
    return ground


def _texture(rng: Generator) -> tuple[Floats, Floats]:
    """Return a texture of two colours [SIZE, SIZE, 3], and its measures: both colours, and two per direction."""
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    angle, period = rng.uniform(0, pi), rng.uniform(5, 20)
    across = (x * np.cos(angle) + y * np.sin(angle)) / period + rng.random()
    along = (y * np.cos(angle) - x * np.sin(angle)) / period + rng.random()
    form, bend = int(rng.integers(3)), rng.uniform(0, 0.4)
    height = np.cos(2 * pi * (across + bend * np.sin(2 * pi * along)))
    if form == 1:
        height = (height + np.cos(2 * pi * along)) / 2
    elif form == 2:
        height = np.maximum(height, np.cos(2 * pi * along))
    cover = np.clip((height - rng.uniform(-0.3, 0.6)) * period / 3 + 0.5, 0, 1)[..., None]
    one, two = rng.uniform(20, 245, 3), rng.uniform(20, 245, 3)
    direction = [np.cos(2 * angle), np.sin(2 * angle), 5 / period, bend, form - 1.0]
    return one * cover + two * (1 - cover), np.concatenate([_scaled(one), _scaled(two), direction])


def _scaled(colour: Floats) -> Floats:
    return colour / 127.5 - 1


def image(rng: Generator) -> tuple[Any, Labels]:
    """Return pixels and labels of 3 x 3 tokens: outlines in the quarters of a picture, or a framed texture."""
    classes, measures = np.full(9, NOTHING), np.full((9, 18), np.nan)
    if rng.random() < 0.4:
        canvas, values = _texture(rng)
        width = int(rng.integers(0, 8))
        frame = rng.uniform(20, 245, 3)
        inside = np.zeros((SIZE, SIZE, 1))
        inside[width : SIZE - width, width : SIZE - width] = 1
        canvas = canvas * inside + frame * (1 - inside)
        measures[:, 3:14], measures[:, 14] = values, width / 4 - 1
        measures[:, 15:18] = _scaled(frame) if width > 1 else np.nan
    else:
        canvas = _ground(rng)
        for token, centre in zip((0, 2, 6, 8), ((12, 12), (36, 12), (12, 36), (36, 36)), strict=True):
            classes[token] = OUTLINES
            if rng.random() < 0.6:
                number, colour = int(rng.integers(OUTLINES)), rng.uniform(20, 245, 3)
                where = np.array(centre) + rng.uniform(-4, 4, 2)
                cover = _blob(number, where, rng.uniform(5, 10), rng.uniform(-0.4, 0.4))[..., None]
                canvas = canvas * (1 - cover) + colour * cover
                classes[token], measures[token, :3] = number, _scaled(colour)
    noisy = np.clip(canvas + rng.normal(0, rng.uniform(2, 14), canvas.shape), 0, 255).astype(np.uint8)
    return noisy, Labels(classes, measures)


_SPECTRA = [_world.random(8) ** 2 * (_world.random(8) < 0.6) + np.eye(8)[0] * 0.3 for _ in range(TIMBRES)]
_STRETCH = _world.choice((1.0, 1.0, 1.0, 1.03, 0.97, 1.3), TIMBRES)
_NOISE = np.where(_world.random(TIMBRES) < 0.2, 1.0, 0.0)
_DECAY = np.where(_world.random(TIMBRES) < 0.5, _world.uniform(4, 30, TIMBRES), 0.0)
_PULSE = np.where(_world.random(TIMBRES) < 0.35, _world.uniform(4, 40, TIMBRES), 0.0)
_GLIDE = np.where(_world.random(TIMBRES) < 0.35, _world.uniform(-0.6, 0.6, TIMBRES), 0.0)


def _tone(number: int, hertz: float, n: int, rng: Generator) -> Floats:
    """Return ``n`` samples of a timbre, within about [-1, 1]."""
    t = np.arange(n) / RATE
    phase = 2 * pi * hertz * (t + _GLIDE[number] * t**2)
    ratios = np.arange(1, 9) ** _STRETCH[number]
    audible = ratios * hertz * (1 + max(0.0, 2 * _GLIDE[number] * t[-1])) < RATE / 2
    wave: Floats = (_SPECTRA[number][audible, None] * np.sin(ratios[audible, None] * phase)).sum(0)
    if _NOISE[number]:
        spectrum, bins = np.fft.rfft(rng.normal(0, 1, n)), np.fft.rfftfreq(n, 1 / RATE)
        spectrum[np.abs(np.log2(np.maximum(bins, 1) / hertz)) > 0.6] = 0
        wave = np.fft.irfft(spectrum, n)
    if _PULSE[number]:
        wave = wave * (np.sin(2 * pi * _PULSE[number] * t) > 0)
    wave = wave * np.exp(-_DECAY[number] * t) * np.clip(np.minimum(t, t[-1] - t) / 0.01, 0, 1)
    return wave / max(float(np.abs(wave).max()), 1e-6)


def audio(rng: Generator) -> tuple[Any, Labels]:
    """Return samples and labels of 10 tokens: one to six tones, with pitch, start and end as measures."""
    samples = rng.normal(0, rng.uniform(0.003, 0.03), round(rng.uniform(1, 2) * RATE))
    classes, measures = np.full(10, TIMBRES), np.full((10, 3), np.nan)
    start = rng.uniform(0.02, 0.5)
    same, number = rng.random() < 0.4, int(rng.integers(TIMBRES))
    while start + 0.12 < len(samples) / RATE:
        number = number if same else int(rng.integers(TIMBRES))
        seconds, hertz = rng.uniform(0.12, 0.5), float(np.exp(rng.uniform(np.log(150), np.log(2600))))
        wave = _tone(number, hertz, round(seconds * RATE), rng) * rng.uniform(0.15, 0.8)
        begin = round(start * RATE)
        wave = wave[: len(samples) - begin]
        samples[begin : begin + len(wave)] += wave
        for token in range(10):
            overlap = min(token * 0.2 + 0.2, start + seconds) - max(token * 0.2, start)
            if overlap > 0.08:
                classes[token] = number
                measures[token] = (
                    np.log2(hertz / 600) / 2,
                    (start - token * 0.2) / 0.3,
                    (start + seconds - token * 0.2) / 0.4,
                )
        start += seconds + rng.uniform(0.02, 0.5)
    return Sound(np.clip(samples, -1, 1).astype(np.float32), RATE), Labels(classes, measures)


def video(rng: Generator) -> tuple[Any, Labels]:
    """Return frames and labels of 16 tokens: two outlines that move, grow or fade; the faster one on even tokens."""
    frames = np.repeat(_ground(rng)[None], FRAMES, axis=0)
    classes, measures = np.full(16, OUTLINES), np.full((16, 10), np.nan)
    along = np.linspace(-0.5, 0.5, FRAMES)
    moves = sorted((_motion(rng) for _ in range(int(rng.integers(1, 3)))), key=np.linalg.norm, reverse=True)
    for slot, move in enumerate(moves):
        number, colour = int(rng.integers(OUTLINES)), rng.uniform(20, 245, 3)
        centre, radius = rng.uniform(11, 37, 2), rng.uniform(6, 9)
        growth = rng.uniform(-0.9, 0.9) if rng.random() < 0.3 else 0.0
        light = np.clip(1 + along * rng.uniform(-2, 2), 0, 1) if rng.random() < 0.2 else np.ones(FRAMES)
        light = light * (np.arange(FRAMES) // int(rng.integers(1, 4)) % 2) if rng.random() < 0.15 else light
        for frame in range(FRAMES):
            place = np.clip(centre + move * along[frame], 4, 44)
            cover = _blob(number, place, radius * (1 + growth * along[frame]), 0.0)[..., None] * light[frame]
            frames[frame] = frames[frame] * (1 - cover) + colour * cover
        classes[slot::2] = number
        measures[slot::2] = [
            *_scaled(colour),
            *(move / 15),
            growth,
            light.mean(),
            light[-1] - light[0],
            *(centre / 24 - 1),
        ]
    noisy = np.clip(frames + rng.normal(0, rng.uniform(1, 8), frames.shape), 0, 255).astype(np.uint8)
    return noisy, Labels(classes, measures)


def _motion(rng: Generator) -> Floats:
    """Return a displacement in pixels; 40 % of the outlines rest."""
    angle, length = rng.uniform(0, 2 * pi), rng.uniform(4, 30)
    return np.array([np.cos(angle), np.sin(angle)]) * length * (rng.random() < 0.6)


DRAW: Mapping[str, Callable[[Generator], tuple[Any, Labels]]] = {"image": image, "audio": audio, "video": video}


class Observer(nn.Module):
    """An encoder with a linear classifier and a linear regression on each token."""

    def __init__(self, modality: str, measures: int) -> None:
        super().__init__()
        config = dict(CONFIGS[modality])
        self.encoder = build_encoder(config.pop("family"), Registry.discover().load, **config)
        self.classify = nn.Linear(self.encoder.width, (TIMBRES if modality == "audio" else OUTLINES) + 1)
        self.measure = nn.Linear(self.encoder.width, measures)

    def losses(self, x: Tensor, classes: Tensor, measures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross entropy of the classes, and the mean squared error of the measures."""
        tokens = self.encoder(x)
        named = F.cross_entropy(self.classify(tokens).flatten(0, 1), classes.flatten(), ignore_index=NOTHING)
        known = ~measures.isnan()
        return named, F.mse_loss(self.measure(tokens)[known], measures[known])


def media_set(observer: Observer, modality: str, count: int, rng: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw ``count`` media; return the encoder's inputs, classes [count, tokens] and measures [count, tokens, n]."""
    drawn = [DRAW[modality](rng) for _ in range(count)]
    inputs = torch.stack([observer.encoder.prepare(medium) for medium, _ in drawn])
    classes = torch.from_numpy(np.stack([labels.classes for _, labels in drawn])).long()
    return inputs, classes, torch.from_numpy(np.stack([labels.measures for _, labels in drawn])).float()


def train(modality: str, steps: int, batch_size: int, rate: float, seed: int) -> Observer:
    """Train a new encoder on these media."""
    torch.manual_seed(seed)
    rng = default_rng([seed, 6])
    observer = Observer(modality, DRAW[modality](rng)[1].measures.shape[1])
    inputs, classes, measures = media_set(observer, modality, POOL[modality], rng)
    optimizer = torch.optim.AdamW(observer.parameters(), rate, weight_decay=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * (1 + cos(pi * step / steps)) / 2)
        chosen = torch.from_numpy(rng.integers(POOL[modality], size=batch_size))
        named, measured = observer.losses(inputs[chosen], classes[chosen], measures[chosen])
        optimizer.zero_grad()
        (named + 3 * measured).backward()
        torch.nn.utils.clip_grad_norm_(observer.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"{modality} step {step} classes {named.item():.3f} measures {measured.item():.4f}", flush=True)
    return observer.eval()


@torch.no_grad()
def held_out_losses(observer: Observer, modality: str, seed: int, count: int = 500) -> dict[str, float]:
    """Return the cross entropy of classes and the mean squared error of measures on new media."""
    named, measured = observer.losses(*media_set(observer, modality, count, default_rng([seed, 8])))
    return {"classes": named.item(), "measures": measured.item()}
