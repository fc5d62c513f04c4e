"""Encoders with pretrained weights: EfficientNet-lite, Whisper, and image and audio models of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    ASTFeatureExtractor,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from micl_backbones.composed.encoders.sound import resample
from micl_backbones.picture_sizes import enlarged_too_far
from micl_cli.api import Encoder, PlanError

_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""EfficientNet-B0's stages (Tan & Le, ICML 2019, table 1): blocks, kernel, stride, expansion, channels."""


class _SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: odd padding has its extra pixel at the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in (x.shape[-1], x.shape[-2])]
        return super().forward(F.pad(x, [p for pad in pads for p in (pad // 2, pad - pad // 2)]))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """An inverted residual block (expansion, depthwise convolution, projection) without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self.expand, self.expand_norm = nn.Conv2d(inputs, inner, 1, bias=False), _norm(inner)
        self.depthwise = _SameConv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self.depthwise_norm = _norm(inner)
        self.project, self.project_norm = nn.Conv2d(inner, outputs, 1, bias=False), _norm(outputs)
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self.expand_norm(self.expand(x))) if self.expands else x
        narrow: Tensor = self.project_norm(self.project(F.relu6(self.depthwise_norm(self.depthwise(wide)))))
        return narrow + x if self.skips else narrow


class EfficientNetLite(Encoder):
    """EfficientNet-lite0, pooled to ``grid`` x ``grid`` tokens of width 1280, of an image or of each of ``frames``."""

    def __init__(self, *, grid: int = 4, frames: int = 0, size: int = 224) -> None:
        super().__init__(max(frames, 1) * grid * grid, 1280, {"frames": frames} if frames else {})
        self.grid, self.frames, self.size = grid, frames, size
        self.stem, self.stem_norm = _SameConv2d(3, 32, 3, 2, bias=False), _norm(32)
        self.blocks = nn.ModuleList(_blocks())
        self.head, self.head_norm = nn.Conv2d(320, 1280, 1, bias=False), _norm(1280)

    def prepare(self, medium: Any) -> Tensor:
        frames = torch.from_numpy(np.ascontiguousarray(medium if self.frames else medium[None]))
        x = frames.permute(0, 3, 1, 2).float()
        x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
        return (x - 127) / 128

    def forward(self, x: Tensor) -> Tensor:
        batch = len(x)
        x = F.relu6(self.stem_norm(self.stem(x.flatten(0, 1))))
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(F.relu6(self.head_norm(self.head(x))), self.grid)
        return x.flatten(2).transpose(1, 2).reshape(batch, self.tokens, -1)


def _blocks() -> list[_Block]:
    shapes = [
        (kernel, stride if not i else 1, expansion, out)
        for n, kernel, stride, expansion, out in _STAGES
        for i in range(n)
    ]
    widths = [32, *(out for *_, out in shapes)]
    pairs = zip(pairwise(widths), shapes, strict=True)
    return [_Block(into, out, kernel, stride, expansion) for (into, out), (kernel, stride, expansion, _) in pairs]


class Whisper(Encoder):
    """Whisper's encoder (Radford et al. 2022) on the first ``seconds`` of a sound, pooled in time to ``tokens``.

    Only the lowest ``layers`` are used: they separate sounds best, while the highest prepare the transcription.
    """

    standardize = True

    def __init__(
        self, *, seconds: float = 5.0, tokens: int = 25, layers: int = 3, width: int = 384, heads: int = 6
    ) -> None:
        super().__init__(tokens, width, {"rate": 16000, "seconds": seconds})
        self.samples = round(16000 * seconds)
        self.extractor = WhisperFeatureExtractor(feature_size=80)
        config = WhisperConfig(
            d_model=width, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=4 * width
        )
        self.encoder: Any = WhisperEncoder(config)

    def prepare(self, medium: Any) -> Tensor:
        samples = resample(medium, 16000)[: self.samples]
        features = self.extractor(
            samples, sampling_rate=16000, padding="max_length", max_length=self.samples, return_tensors="pt"
        )
        return cast(Tensor, features.input_features[0])

    def forward(self, x: Tensor) -> Tensor:
        encoder = self.encoder
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(x)))).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        for layer in encoder.layers:
            output = layer(x, attention_mask=None)
            x = output[0] if isinstance(output, tuple) else output
        return F.adaptive_avg_pool1d(encoder.layer_norm(x).transpose(1, 2), self.tokens).transpose(1, 2)


class HFVision(Encoder):
    """An image encoder of transformers (CLIP, SigLIP, DINOv2, ViT, …) by hub id or folder, pooled to a grid."""

    version = 2
    standardize = True

    def __init__(self, *, checkpoint: str, grid: int = 4, frames: int = 0, revision: str = "main") -> None:
        model, self.processor = _load(checkpoint, AutoImageProcessor, revision, "vision_model", backend="pil")
        super().__init__(
            max(frames, 1) * grid * grid, int(model.config.hidden_size), {"frames": frames} if frames else {}
        )
        self.grid, self.frames, self.model = grid, frames, model

    def check(self, facts: Mapping[str, Any]) -> str:
        width, height = facts.get("width"), facts.get("height")
        return enlarged_too_far(self.processor, width, height) if width and height else ""

    def prepare(self, medium: Any) -> Tensor:
        # Of an array 1, 3 or 4 pixels high, the processor would take the rows for channels.
        frames = [PIL.Image.fromarray(frame) for frame in (medium if self.frames else [medium])]
        return cast(Tensor, self.processor(frames, return_tensors="pt").pixel_values)

    def forward(self, x: Tensor) -> Tensor:
        batch = len(x)
        hidden = self.model(pixel_values=x.flatten(0, 1)).last_hidden_state
        if hidden.ndim == 4:  # a convolutional network's feature map
            return F.adaptive_avg_pool2d(hidden, self.grid).flatten(2).transpose(1, 2).reshape(batch, self.tokens, -1)
        side = int(hidden.shape[1] ** 0.5)
        patches = hidden[:, hidden.shape[1] - side * side :].transpose(1, 2).unflatten(2, (side, side))
        return F.adaptive_avg_pool2d(patches, self.grid).flatten(2).transpose(1, 2).reshape(batch, self.tokens, -1)


class HFAudio(Encoder):
    """An audio encoder of transformers (AST, CLAP, Whisper, …) by hub id or folder, pooled in time to ``tokens``."""

    version = 2
    standardize = True

    def __init__(self, *, checkpoint: str, tokens: int = 16, seconds: float = 10.0, revision: str = "main") -> None:
        model, processor = _load(checkpoint, AutoFeatureExtractor, revision, "audio_model")
        rate = int(processor.sampling_rate)
        samples = min(round(rate * seconds), _window(processor) or round(rate * seconds))
        super().__init__(tokens, int(model.config.hidden_size), {"rate": rate, "seconds": samples / rate})
        self.rate, self.samples, self.model, self.processor = rate, samples, model, processor
        self.share = self.samples / processor.n_samples if hasattr(processor, "n_samples") else 1.0

    def prepare(self, medium: Any) -> Tensor:
        samples = resample(medium, self.rate)[: self.samples]
        padded = np.pad(samples, (0, self.samples - len(samples)))
        features = self.processor(padded, sampling_rate=self.rate, return_tensors="pt")
        return cast(Tensor, next(iter(features.values()))[0])

    def forward(self, x: Tensor) -> Tensor:
        config = self.model.config
        # CLAP with feature fusion requires a flag for sounds longer than its window, which these never are.
        longer = {"is_longer": x.new_zeros(len(x), 1)} if getattr(config, "enable_fusion", False) else {}
        hidden: Tensor = self.model(x, **longer).last_hidden_state
        if hasattr(config, "frequency_stride"):  # AST: two special tokens, then bands by time
            bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
            hidden = hidden[:, 2:].transpose(1, 2).reshape(len(x), self.width, bands, -1)
        sequence = hidden.mean(2) if hidden.ndim == 4 else hidden.transpose(1, 2)
        unpadded = sequence[..., : max(1, round(sequence.shape[-1] * self.share))]
        return F.adaptive_avg_pool1d(unpadded, self.tokens).transpose(1, 2)


def _window(extractor: Any) -> int:
    """Return the number of samples that a feature extractor reads of a sound; 0 if it reads all."""
    # The length to which Whisper pads each sound, and beyond which CLAP crops at random.
    if samples := getattr(extractor, "n_samples", 0) or getattr(extractor, "nb_max_samples", 0):
        return int(samples)
    if isinstance(extractor, ASTFeatureExtractor):  # windows of 25 ms, one each 10 ms
        return int(extractor.sampling_rate * (extractor.max_length * 10 + 15) // 1000)
    return 0


def _load(checkpoint: str, auto_class: Any, revision: str, tower: str, **arguments: Any) -> tuple[Any, Any]:
    """Return (model, processor); of a model that also reads text, only its ``tower`` for media. Raises PlanError."""
    try:
        common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32, use_safetensors=True, **common)
        processor = auto_class.from_pretrained(checkpoint, **common, **arguments)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        hint = "Correct the preset file, or fetch the checkpoint on a machine with a network."
        raise PlanError(f"the encoder {checkpoint} cannot be loaded: {reason}", hint) from error
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()  # Whisper's decoder is not used
    return getattr(model, tower, model), processor
