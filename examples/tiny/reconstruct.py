"""Self-supervised training of the encoders of tiny-plain: each token reconstructs its part of a medium.

No label of a scene is used. A linear decoder maps each token to the pixels (image), the log-mel energies (sound), or
the pixels and their change to the next frame (video) of its part of the medium.
"""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from numpy.random import Generator, default_rng
from senses import CONFIGS
from torch import Tensor, nn
from torch.nn import functional as F

from micl_backbones.composed.load import build_encoder
from micl_cli.api import Encoder, Sound
from micl_cli.registry import Registry
from micl_tasks.mini import lamps, language, media, melodies, patterns
from micl_tasks.mini.language import Field, draw

STEPS = {"image": 1500, "audio": 1500, "video": 1500}


def _sound(scene: Any, rng: Generator) -> Sound:
    if isinstance(scene, melodies.MelodyScene):
        return Sound(melodies.render_melody(scene, rng), media.RATE)
    return Sound(media.render_sound(scene, *media.timing(scene, rng), rng), media.RATE)


def _image(scene: Any, rng: Generator) -> Any:
    of_pattern = isinstance(scene, patterns.PatternScene)
    return patterns.render_pattern(scene, rng) if of_pattern else media.render_image(scene, rng)


def _video(scene: Any, rng: Generator) -> Any:
    return lamps.render_lamps(scene, rng) if isinstance(scene, lamps.LampScene) else media.render_video(scene, rng)


FAMILIES: dict[str, tuple[Field, ...]] = {
    "image": (language.IMAGE, patterns.PATTERN),
    "audio": (language.AUDIO, melodies.MELODY),
    "video": (language.VIDEO, lamps.LAMP),
}
RENDER = {"image": _image, "audio": _sound, "video": _video}


def media_set(modality: str, encoder: Encoder, split: str, count: int, rng: Generator) -> Tensor:
    """Render ``count`` media of ``split`` of all families; return the encoder's inputs."""
    fields = FAMILIES[modality]
    scenes = (draw(fields[number % len(fields)], split, rng) for number in range(count))
    return torch.stack([encoder.prepare(RENDER[modality](scene, rng)) for scene in scenes])


class Autoencoder(nn.Module):
    """An encoder with a linear decoder from each token to its part of the medium."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        config = dict(CONFIGS[modality])
        self.modality = modality
        self.encoder = build_encoder(config.pop("family"), Registry.discover().load, **config)
        self.decoder = nn.LazyLinear(1)

    def targets(self, x: Tensor) -> Tensor:
        """Return what each token reconstructs, [B, tokens, values], standardised over the batch."""
        parts = {"image": self._pixels, "audio": self._mels, "video": self._motion}[self.modality](x)
        return (parts - parts.mean()) / parts.std()

    @staticmethod
    def _pixels(x: Tensor) -> Tensor:
        return F.unfold(F.avg_pool2d(x, 2), 8, stride=8).transpose(1, 2)

    def _mels(self, x: Tensor) -> Tensor:
        mels = self.encoder._spectrogram(x)
        return mels.unflatten(2, (self.encoder.tokens, -1)).permute(0, 2, 1, 3).flatten(2)

    @staticmethod
    def _motion(x: Tensor) -> Tensor:
        batch, frames = x.shape[:2]
        small = F.avg_pool2d(x.flatten(0, 1), 3).unflatten(0, (batch, frames))
        both = torch.cat([small, 2 * (small.roll(-1, 1) - small)], 2).flatten(0, 1)
        return F.unfold(both, 8, stride=8).transpose(1, 2).reshape(batch, frames * 4, -1)

    def build(self, x: Tensor) -> None:
        """Create the decoder for media like ``x``."""
        self.decoder = nn.Linear(self.encoder.width, self.targets(x).shape[-1])

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean squared error of the reconstruction, relative to the variance."""
        tokens = F.layer_norm(self.encoder(x), (self.encoder.width,))
        return F.mse_loss(self.decoder(tokens), self.targets(x))


def train(modality: str, steps: int, batch_size: int, rate: float, seed: int, pool: int = 6000) -> Autoencoder:
    """Train a new encoder to reconstruct rendered media of the train split."""
    torch.manual_seed(seed)
    model, rng = Autoencoder(modality), default_rng([seed, 6])
    inputs = media_set(modality, model.encoder, "train", pool, rng)
    model.build(inputs[:2])
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * (1 + cos(pi * step / steps)) / 2)
        loss = model.loss(inputs[torch.from_numpy(rng.integers(pool, size=batch_size))])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"{modality} step {step} unexplained variance {loss.item():.4f}", flush=True)
    return model.eval()


@torch.no_grad()
def held_out_loss(model: Autoencoder, seed: int, count: int = 500) -> float:
    """Return the unexplained share of the variance on media of the test split."""
    inputs = media_set(model.modality, model.encoder, "test", count, default_rng([seed, 8]))
    return float(model.loss(inputs))
