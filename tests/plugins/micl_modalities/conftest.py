"""Small real media, written on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import soundfile


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., Path]:
    """Save an array (or a Pillow image) under a name."""

    def write(pixels: Any, name: str = "picture.png", **options: Any) -> Path:
        image = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture
def write_sound(tmp_path: Path) -> Callable[..., Path]:
    """Save samples [n] or [n, channels] under a name, by soundfile."""

    def write(samples: Any, rate: int = 16000, name: str = "sound.wav", **options: Any) -> Path:
        soundfile.write(tmp_path / name, samples, rate, **options)
        return tmp_path / name

    return write


@pytest.fixture
def write_aac(tmp_path: Path) -> Callable[..., Path]:
    """Save mono samples as AAC in an MP4 container, which soundfile cannot read."""

    def write(samples: Any, rate: int = 16000, name: str = "sound.m4a") -> Path:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("aac", rate=rate)
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(np.asarray(samples, np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            for part in (frame, None):
                container.mux(stream.encode(part))
        return tmp_path / name

    return write


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """Save grey frames of the given brightness as an MP4; ``turned`` in degrees counterclockwise."""

    def write(
        greys: Sequence[int], name: str = "clip.mp4", size: tuple[int, int] = (32, 16), turned: int = 0, rate: int = 8
    ) -> Path:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=Fraction(rate))
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.bit_rate = 4_000_000
            if turned:
                stream.set_display_rotation(turned)
            container.start_encoding()
            for grey in greys:
                pixels = np.full((size[1], size[0], 3), grey, np.uint8)
                pixels[:, : size[0] // 2] //= 2
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            if greys:
                container.mux(stream.encode(None))
        return tmp_path / name

    return write


@pytest.fixture
def write_timed_video(tmp_path: Path) -> Callable[..., Path]:
    """Save lossless grey frames shown at given times, in milliseconds."""

    def write(greys: Sequence[int], times: Sequence[int], name: str = "timed.mkv") -> Path:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("ffv1", rate=30)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
            stream.codec_context.time_base = Fraction(1, 1000)
            for grey, time in zip(greys, times, strict=True):
                frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), grey, np.uint8), format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return tmp_path / name

    return write
