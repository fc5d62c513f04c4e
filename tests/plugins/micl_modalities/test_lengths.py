"""Whole files are taken and truncated ones refused, whatever the container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import soundfile

from micl_cli.api import MediaError, Modality
from micl_modalities.audio import Audio
from micl_modalities.image import Image
from micl_modalities.video import Video

NOISE = np.random.default_rng(0)
SAMPLES = NOISE.uniform(-0.5, 0.5, 16000)
PICTURES = NOISE.integers(0, 256, (4, 40, 56, 3), dtype=np.uint8)

SOUNDS: Mapping[str, dict[str, Any]] = {
    "a.wav": {},
    "extensible.wav": {"format": "WAVEX"},
    "long.wav": {"format": "RF64"},
    "big.wav": {"format": "WAV", "endian": "BIG"},
    "a.aiff": {},
    "law.aifc": {"format": "AIFF", "subtype": "ULAW"},
    "a.au": {},
    "little.au": {"format": "AU", "endian": "LITTLE"},
    "a.caf": {},
    "a.w64": {},
    "a.flac": {},
    "a.ogg": {},
    "a.mp3": {},
}
ANIMATED = {"save_all": True, "append_images": [PIL.Image.fromarray(picture) for picture in PICTURES[1:]]}
IMAGES: Mapping[str, dict[str, Any]] = {
    "a.png": {},
    "moving.png": ANIMATED,
    "a.jpg": {},
    "progressive.jpg": {"progressive": True},
    "a.gif": {},
    "moving.gif": ANIMATED,
    "a.webp": {},
    "moving.webp": ANIMATED,
    "a.tif": {},
    "pages.tif": ANIMATED,
    "a.bmp": {},
    "a.avif": {},
}
CLIPS: Mapping[str, tuple[str, str, dict[str, str]]] = {
    "a.mp4": ("mpeg4", "yuv420p", {}),
    "fast.mp4": ("mpeg4", "yuv420p", {"movflags": "faststart"}),
    "pieces.mp4": ("mpeg4", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mkv": ("mpeg4", "yuv420p", {}),
    "live.mkv": ("mpeg4", "yuv420p", {"live": "1"}),
    "a.webm": ("libvpx", "yuv420p", {}),
    "a.avi": ("mpeg4", "yuv420p", {}),
    "a.gif": ("gif", "rgb8", {}),
}
PLACES = [0.3, 0.5, 0.7, 0.9]


def write_sound(path: Path) -> None:
    soundfile.write(path, SAMPLES, 16000, **SOUNDS[path.name])


def write_image(path: Path) -> None:
    PIL.Image.fromarray(PICTURES[0]).save(path, **IMAGES[path.name])


def write_clip(path: Path) -> None:
    codec, pixels, options = CLIPS[path.name]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 56, 40, pixels
        for picture in PICTURES.repeat(4, axis=0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_webm_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SAMPLES.astype(np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = 48000
        for part in (frame, None):
            container.mux(stream.encode(part))


CASES: list[tuple[str, type[Modality], Callable[[Path], None]]] = [
    *((name, Audio, write_sound) for name in SOUNDS),
    ("sound.webm", Audio, write_webm_sound),
    *((name, Image, write_image) for name in IMAGES),
    *((name, Video, write_clip) for name in CLIPS),
]


@pytest.mark.parametrize(("name", "modality", "write"), CASES, ids=[f"{m.name}-{name}" for name, m, _ in CASES])
def test_whole_files_are_taken_and_parts_refused(
    tmp_path: Path, name: str, modality: type[Modality], write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    assert modality().inspect(path)
    for place in PLACES:
        path.write_bytes(whole[: int(len(whole) * place)])
        with pytest.raises(MediaError, match=name):
            modality().inspect(path)


@pytest.mark.parametrize("wrong", [8, 1, 36, 44, -8, -44])
def test_a_riff_length_that_counts_a_header_is_taken(tmp_path: Path, wrong: int) -> None:
    path = tmp_path / "a.wav"
    write_sound(path)
    content = bytearray(path.read_bytes())
    content[4:8] = (len(content) - 8 + wrong).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(Audio().read(path).samples) == len(SAMPLES)


@pytest.mark.parametrize("wrong", [8, 1, 12, -8, -1])
@pytest.mark.parametrize("name", ["a.webp", "moving.webp"])
def test_a_picture_whose_riff_length_counts_a_header_is_taken(tmp_path: Path, name: str, wrong: int) -> None:
    path = tmp_path / name
    write_image(path)
    pixels = Image().read(path)
    content = bytearray(path.read_bytes())
    content[4:8] = (len(content) - 8 + wrong).to_bytes(4, "little")
    path.write_bytes(content)
    assert np.array_equal(Image().read(path), pixels)


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF])
def test_a_picture_of_a_stream_has_a_placeholder_for_its_length(tmp_path: Path, stated: int) -> None:
    path = tmp_path / "a.webp"
    write_image(path)
    pixels, content = Image().read(path), path.read_bytes()
    content = content[:4] + stated.to_bytes(4, "little") + content[8:]
    path.write_bytes(content)
    assert np.array_equal(Image().read(path), pixels)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError):
        Image().read(path)


def test_an_absent_padding_byte_is_not_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, SAMPLES[:101], 16000, subtype="PCM_U8")
    content = path.read_bytes()
    path.write_bytes(content.rstrip(b"\0")[: 44 + 101])
    assert len(Audio().read(path).samples) == 101


@pytest.mark.parametrize(
    ("name", "modality", "write"),
    [("a.gif", Image, write_image), ("a.png", Image, write_image), ("a.au", Audio, write_sound)],
)
def test_bytes_behind_the_end_are_left_alone(
    tmp_path: Path, name: str, modality: type[Modality], write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    with (tmp_path / name).open("ab") as file:
        file.write(b"more" * 10)
    assert modality().inspect(tmp_path / name)


def test_an_mp3_behind_a_tag_and_before_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    write_sound(path)
    sound = path.read_bytes()
    tag = b"ID3\4\0\0\0\0\1\0" + bytes(128)
    path.write_bytes(tag + sound + b"TAG" + bytes(125))
    assert Audio().inspect(path)["rate"] == 16000
    path.write_bytes(tag + sound[: len(sound) // 2])
    with pytest.raises(MediaError, match="truncated"):
        Audio().inspect(path)
