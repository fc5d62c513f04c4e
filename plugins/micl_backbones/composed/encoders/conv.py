"""Small convolutional encoders in plain torch, from a medium in its canonical form to a few tokens.

They accept any medium of their modality: images and frames are resized; sounds are resampled, cropped or padded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_backbones.composed.encoders.sound import resample
from micl_cli.api import Encoder


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1)
    return nn.Sequential(layer, nn.GroupNorm(8, outputs), nn.GELU())


class _Mixer(nn.Module):
    """Position embeddings and one pre-norm transformer block, which exchanges information between the tokens."""

    def __init__(self, tokens: int, channels: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(tokens, channels) * 0.1)
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 4, batch_first=True)
        self.block = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.out = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        out: Tensor = self.out(x + self.block(x))
        return out


def _pixels(frames: np.ndarray[Any, Any], size: int) -> Tensor:
    """Convert uint8 [F, H, W, 3] of any size to float [F, 3, size, size] in [-1, 1]."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


class ConvImage(Encoder):
    """An image as ``grid`` x ``grid`` tokens, row by row."""

    def __init__(self, *, size: int = 48, grid: int = 3, channels: int = 96, width: int = 64) -> None:
        super().__init__(grid * grid, width, {})
        self.size = size
        patch = size // 4 // grid
        self.stem = nn.Sequential(_conv(3, 32, 2), _conv(32, 64, 2), _conv(64, 64))
        self.patch = nn.Conv2d(64, channels, patch, patch)
        self.mixer = _Mixer(self.tokens, channels, width)

    def prepare(self, medium: Any) -> Tensor:
        return _pixels(medium[None], self.size)[0]

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mixer(self.patch(self.stem(x)).flatten(2).transpose(1, 2))
        return mixed


class ConvSound(Encoder):
    """A sound as a time sequence of ``tokens`` vectors, computed from its log-mel spectrogram."""

    filters: Tensor
    taper: Tensor

    def __init__(
        self,
        *,
        rate: int = 8000,
        seconds: float = 2.0,
        mels: int = 40,
        hop: int = 80,
        window: int = 256,
        tokens: int = 10,
        channels: int = 96,
        width: int = 64,
    ) -> None:
        super().__init__(tokens, width, {"rate": rate, "seconds": seconds})
        self.rate, self.samples, self.hop, self.window = rate, round(rate * seconds), hop, window
        self.register_buffer("filters", _mel_filters(rate, window, mels), persistent=False)
        self.register_buffer("taper", torch.hann_window(window), persistent=False)
        self.stem = nn.Sequential(_conv(1, 32, 2), _conv(32, 48, 2), _conv(48, 64))
        self.collapse = nn.Conv1d(64 * (mels // 4), channels, 1)
        self.patch = nn.Conv1d(
            channels, channels, self.samples // hop // 4 // tokens, self.samples // hop // 4 // tokens
        )
        self.mixer = _Mixer(tokens, channels, width)

    def prepare(self, medium: Any) -> Tensor:
        samples = resample(medium, self.rate)
        x = torch.from_numpy(np.ascontiguousarray(samples[: self.samples], dtype=np.float32))
        return F.pad(x, (0, self.samples - len(x)))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.stem(self._spectrogram(x)[:, None]).flatten(1, 2)
        mixed: Tensor = self.mixer(self.patch(F.gelu(self.collapse(hidden))).transpose(1, 2))
        return mixed

    def _spectrogram(self, x: Tensor) -> Tensor:
        """Return log-mel energies [B, mels, samples / hop] of [B, samples], relative to each sound's maximum."""
        frames = F.pad(x, (self.window - self.hop, 0)).unfold(1, self.window, self.hop)
        power = torch.fft.rfft(frames * self.taper).abs() ** 2
        energies = torch.log10((power @ self.filters).clamp_min(1e-6))
        return ((energies - energies.amax((1, 2), keepdim=True)) / 2 + 1).clamp_min(-1).transpose(1, 2)


def _mel_filters(rate: int, window: int, mels: int) -> Tensor:
    """Return triangular filters on the mel scale, [window / 2 + 1, mels]."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    # A triangle narrower than a frequency bin could be zero everywhere.
    widths = np.maximum(np.diff(edges), rate / window)
    rising = (bins - edges[1:-1]) / widths[:-1] + 1
    falling = (edges[1:-1] - bins) / widths[1:] + 1
    return torch.tensor(np.clip(np.minimum(rising, falling), 0, None), dtype=torch.float32)


class ConvVideo(Encoder):
    """A video as ``frames`` x ``grid`` x ``grid`` tokens, frame by frame, row by row."""

    def __init__(self, *, frames: int = 4, size: int = 48, grid: int = 2, channels: int = 96, width: int = 64) -> None:
        super().__init__(frames * grid * grid, width, {"frames": frames})
        self.frames, self.size = frames, size
        patch = size // 4 // grid
        self.stem = nn.Sequential(_conv(3, 32, 2), _conv(32, 64, 2))
        self.motion = nn.Sequential(
            nn.Conv3d(64, 64, 3, 1, 1),
            nn.GroupNorm(8, 64),
            nn.GELU(),
            nn.Conv3d(64, 64, (3, 1, 1), 1, (1, 0, 0)),
            nn.GELU(),
        )
        self.patch = nn.Conv2d(64, channels, patch, patch)
        self.mixer = _Mixer(self.tokens, channels, width)

    def prepare(self, medium: Any) -> Tensor:
        indices = np.linspace(0, len(medium) - 1, self.frames).round().astype(int)
        return _pixels(medium[indices], self.size)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames = x.shape[:2]
        features = self.stem(x.flatten(0, 1)).unflatten(0, (batch, frames)).transpose(1, 2)
        mixed_in_time = (features + self.motion(features)).transpose(1, 2).flatten(0, 1)
        tokens = self.patch(mixed_in_time).flatten(2).transpose(1, 2).reshape(batch, self.tokens, -1)
        mixed: Tensor = self.mixer(tokens)
        return mixed
