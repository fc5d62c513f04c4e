"""Clips as they are found on disks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from micl_cli.api import MediaError, OptionError
from micl_modalities import video
from micl_modalities.video import Video

Write = Callable[..., Path]
RAMP = list(range(0, 256, 16))


def brightness(frames: np.ndarray) -> list[float]:
    """Of each frame's right half, where it is even."""
    return [float(frame[:, -8:].mean()) for frame in frames]


def test_samples_the_middle_of_equal_parts(write_video: Write) -> None:
    frames = Video(frames=4).read(write_video(RAMP))
    assert frames.shape == (4, 16, 32, 3)
    assert frames.dtype == np.uint8
    assert brightness(frames) == pytest.approx([RAMP[i] for i in (2, 6, 10, 14)], abs=6)


def test_short_clip_repeats_frames(write_video: Write) -> None:
    frames = Video(frames=4).read(write_video([20, 200]))
    assert brightness(frames) == pytest.approx([20, 20, 200, 200], abs=8)


def test_every_frame_is_used_when_there_are_as_many(write_video: Write) -> None:
    assert brightness(Video(frames=16).read(write_video(RAMP))) == pytest.approx(RAMP, abs=6)


def test_counts_frames_where_the_container_states_none(write_video: Write) -> None:
    frames = Video(frames=4).read(write_video(RAMP, "clip.mkv"))
    assert brightness(frames) == pytest.approx([RAMP[i] for i in (2, 6, 10, 14)], abs=6)


def test_a_frame_at_least() -> None:
    with pytest.raises(OptionError):
        Video(frames=0)


def test_tells_the_facts(write_video: Write) -> None:
    assert Video().inspect(write_video(RAMP)) == {"frames": 16, "seconds": 2.0, "width": 32, "height": 16}


def test_turns_upright(write_video: Write) -> None:
    lying = write_video([200], "lying.mp4")
    turned = write_video([200], "turned.mp4", turned=90)
    expected = np.rot90(Video(frames=1).read(lying)[0], 1)
    assert np.array_equal(Video(frames=1).read(turned)[0], expected)
    assert Video().inspect(turned) == {"frames": 1, "seconds": 0.125, "width": 16, "height": 32}


def test_reads_an_animated_gif(tmp_path: Path) -> None:
    import PIL.Image

    frames = [PIL.Image.new("RGB", (8, 8), (grey,) * 3) for grey in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    assert brightness(Video(frames=2).read(tmp_path / "a.gif")) == pytest.approx([10, 200], abs=6)


def test_clip_without_frames_is_an_error(write_video: Write) -> None:
    path = write_video([])
    for call in (Video().read, Video().inspect):
        with pytest.raises(
            MediaError, match=r"clip\.mp4: cannot be read as a video: it (holds no frames|has no video)"
        ):
            call(path)


def test_sound_alone_is_an_error(write_aac: Write) -> None:
    with pytest.raises(MediaError, match="no video track"):
        Video().read(write_aac(np.zeros(16000), name="sound.mp4"))


def test_truncated_clip_is_an_error(write_video: Write) -> None:
    path = write_video(RAMP)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"truncated: [0-9]+ of [0-9]+ bytes are missing"):
        Video().inspect(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.mp4", b"\x89PNG\r\n\x1a\n" + bytes(100), "its content is PNG"),
        ("a.mp4", b"RIFF\x24\0\0\0WAVEfmt ", "its content is WAV"),
        ("a.mp4", b"\x1aE\xdf\xa3" + bytes(100), "its name says MP4, its content is Matroska .rename it to a.mkv."),
        ("a.mp4", b"hello\n", "it holds text"),
        ("a.mp4", bytes(range(256)), "damaged or in no known format"),
        ("a.mp4", b"", "the file is empty"),
    ],
)
def test_file_that_is_no_clip(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=f"cannot be read as a video: .*{reason}"):
        Video().inspect(tmp_path / name)


@pytest.mark.parametrize("head", ["ffconcat version 1.0\nfile {}\n#\0", "#EXTM3U\n#EXTINF:2,\n{}\n#\0"])
def test_playlists_to_other_files_are_not_followed(write_video: Write, tmp_path: Path, head: str) -> None:
    playlist = tmp_path / "list.bin"
    playlist.write_text(head.format(write_video(RAMP).name))
    with pytest.raises(MediaError, match="no known format"):
        Video().read(playlist)


def test_limits(write_video: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(RAMP)
    with monkeypatch.context() as patch, pytest.raises(MediaError, match="more than 15 frames"):
        patch.setattr(video, "MAX_FRAMES", 15)
        Video().inspect(path)
    with monkeypatch.context() as patch, pytest.raises(MediaError, match="32 x 16, which is more than 511 pixels"):
        patch.setattr(video, "MAX_PIXELS", 511)
        Video().read(path)
