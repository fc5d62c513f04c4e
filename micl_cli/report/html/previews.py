"""Small previews of media: a picture, frames of a clip side by side, or the waveform of a sound."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from micl_cli.api.modality import Clip, Sound

FRAMES = 3
SIDE = 96
"""The longest side of a picture in pixels."""
FRAME_SIDE = 64
_QUALITY = 50
_WIDTH, _HEIGHT = 120, 36
_TICKS = 60
_LOUD = 1e-3
"""Sounds that are softer than this are not amplified."""


@dataclass(frozen=True)
class Preview:
    """A picture as a data URI, or else the path of a waveform in a box of ``width`` and ``height``; ``text`` says more.

    Without ``uri`` and ``path``, there is only the text.
    """

    text: str
    uri: str = ""
    path: str = ""
    width: int = 0
    height: int = 0

    @property
    def size(self) -> int:
        """The number of bytes in the report."""
        return len(self.uri) + len(self.path)


def preview(medium: Any, modality: str) -> Preview:
    """Return the preview of a decoded medium by its canonical form, whatever its modality is called."""
    if isinstance(medium, Sound):
        return _waveform(medium, modality)
    array: NDArray[Any] = np.asarray(medium) if isinstance(medium, np.ndarray) else np.empty(0)
    if array.ndim == 4 and array.dtype == np.uint8 and array.shape[-1] == 3 and len(array):
        return _frames(array, modality, medium.duration if isinstance(medium, Clip) else None)
    if array.ndim == 3 and array.dtype == np.uint8 and array.shape[-1] == 3:
        height, width = array.shape[:2]
        return _picture(_thumbnail(array, SIDE), f"{modality}, {width} x {height}")
    return Preview(f"{modality}: no preview")


def _frames(frames: NDArray[np.uint8], modality: str, seconds: float | None) -> Preview:
    chosen = [round(at) for at in np.linspace(0, len(frames) - 1, min(FRAMES, len(frames)))]
    pictures = [_thumbnail(frames[number], FRAME_SIDE) for number in chosen]
    length = f", {seconds:.1f} s" if seconds is not None else ""
    return _picture(_side_by_side(pictures), f"{modality}{length}: {len(pictures)} frames")


def _thumbnail(pixels: NDArray[np.uint8], side: int) -> PIL.Image.Image:
    image = PIL.Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
    return image


def _side_by_side(pictures: Sequence[PIL.Image.Image]) -> PIL.Image.Image:
    width, height = pictures[0].size
    strip = PIL.Image.new("RGB", (width * len(pictures) + 2 * (len(pictures) - 1), height), "white")
    for number, picture in enumerate(pictures):
        strip.paste(picture, (number * (width + 2), 0))
    return strip


def _picture(image: PIL.Image.Image, text: str) -> Preview:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    uri = f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Preview(text, uri=uri, width=image.width, height=image.height)


def _waveform(sound: Sound, modality: str) -> Preview:
    """Return the highest and lowest sample of equal parts of a sound as vertical lines."""
    parts = np.array_split(sound.samples, min(_TICKS, max(1, len(sound.samples))))
    low, high = ([float(bound(part)) if len(part) else 0.0 for part in parts] for bound in (np.min, np.max))
    loudest = max(_LOUD, *map(abs, (*low, *high)))
    middle, scale, step = _HEIGHT / 2, (_HEIGHT / 2 - 1) / loudest, _WIDTH / len(parts)
    lines = [
        f"M{step * (number + 0.5):.1f} {middle - scale * top - 0.5:.1f}V{middle - scale * bottom + 0.5:.1f}"
        for number, (bottom, top) in enumerate(zip(low, high, strict=True))
    ]
    text = f"{modality}, {len(sound.samples) / sound.rate:.1f} s"
    return Preview(text, path="".join(lines), width=_WIDTH, height=_HEIGHT)
