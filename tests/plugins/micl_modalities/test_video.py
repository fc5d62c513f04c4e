"""Clips as they are found on disks."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from micl_cli.api import Clip, MediaError, OptionError
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


def test_threads_may_read_at_the_same_time(write_video: Write) -> None:
    video, path = Video(frames=4), write_video(RAMP)
    alone = np.array(video.read(path))
    with ThreadPoolExecutor(4) as threads:
        assert all((np.array(clip) == alone).all() for clip in threads.map(video.read, [path] * 60))


def test_short_clip_repeats_frames(write_video: Write) -> None:
    frames = Video(frames=4).read(write_video([20, 200]))
    assert brightness(frames) == pytest.approx([20, 20, 200, 200], abs=8)


def test_every_frame_is_used_when_there_are_as_many(write_video: Write) -> None:
    assert brightness(Video(frames=16).read(write_video(RAMP))) == pytest.approx(RAMP, abs=6)


def test_frames_have_the_times_at_which_they_are_shown(write_video: Write) -> None:
    clip = Video(frames=4).read(write_video(RAMP, rate=8))
    assert isinstance(clip, Clip)
    assert clip.times is not None
    assert clip.times.tolist() == pytest.approx([0.25, 0.75, 1.25, 1.75])
    assert clip.duration == pytest.approx(2.0)
    assert clip[:2].times is None


def test_a_long_and_a_short_clip_of_the_same_frames_differ_in_time(write_video: Write) -> None:
    short, long = (Video().read(write_video(RAMP, f"{rate}.mp4", rate=rate)) for rate in (16, 1))
    assert np.array_equal(short, long)
    assert (short.duration, long.duration) == pytest.approx((1.0, 16.0))


def test_sampling_is_even_in_time_not_in_frames(write_timed_video: Write) -> None:
    """Of 90 dark frames in the first second, and 10 bright ones, each shown for most of a second."""
    times = [i * 1000 // 90 for i in range(90)] + [1000 + 900 * i for i in range(10)]
    clip = Video(frames=4).read(write_timed_video([*range(90), *[200] * 10], times))
    assert brightness(clip) == [200] * 4
    assert clip.times == pytest.approx([1.14, 3.42, 5.7, 7.98], abs=0.2)


@pytest.mark.parametrize("start", [-400, 5000])
def test_time_counts_from_the_first_frame(write_timed_video: Write, start: int) -> None:
    clip = Video(frames=2).read(write_timed_video([10, 60, 110, 160], [start + 500 * i for i in range(4)]))
    assert brightness(clip) == [10, 110]
    assert clip.times == pytest.approx([0.383, 1.15], abs=0.02)


def test_delays_of_a_gif_are_its_times(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), (grey,) * 3) for grey in (10, 100, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 100, 1800])
    clip = Video(frames=4).read(tmp_path / "a.gif")
    assert brightness(clip) == pytest.approx([200] * 4, abs=6)
    assert clip.duration == pytest.approx(2.0)
    assert Video().inspect(tmp_path / "a.gif")["seconds"] == 2.0


def test_one_frame_is_shown_at_all_times(write_video: Write) -> None:
    clip = Video(frames=4).read(write_video([200]))
    assert brightness(clip) == pytest.approx([200] * 4, abs=8)
    assert clip.duration == pytest.approx(0.125)
    assert clip.times == pytest.approx([0.015625, 0.046875, 0.078125, 0.109375])


def test_frames_in_another_order_than_stored(tmp_path: Path) -> None:
    """B-frames in AVI, which stores no times of display."""
    with av.open(str(tmp_path / "b.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 32, 16, "yuv420p", 4_000_000
        stream.codec_context.max_b_frames = 2
        for grey in RAMP:
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = Video(frames=16).read(tmp_path / "b.avi")
    assert brightness(clip) == pytest.approx(RAMP, abs=8)


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


ONE = 0x10000
ORIENTATIONS = {
    "as stored": ((ONE, 0, 0, ONE), lambda picture: picture),
    "mirrored left-right": ((-ONE, 0, 0, ONE), lambda picture: picture[:, ::-1]),
    "mirrored top-bottom": ((ONE, 0, 0, -ONE), lambda picture: picture[::-1]),
    "turned by half": ((-ONE, 0, 0, -ONE), lambda picture: picture[::-1, ::-1]),
    "turned right": ((0, ONE, -ONE, 0), lambda picture: np.rot90(picture, -1)),
    "turned left": ((0, -ONE, ONE, 0), lambda picture: np.rot90(picture)),
    "transposed": ((0, ONE, ONE, 0), lambda picture: picture.swapaxes(0, 1)),
    "transposed and turned": ((0, -ONE, -ONE, 0), lambda picture: picture[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_display_matrix_is_applied(tmp_path: Path, name: str) -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :32], picture[:16, 32:] = 250, 120
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 32, "yuv420p", 4_000_000
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    (a, b, c, d), applied = ORIENTATIONS[name]
    content = bytearray(path.read_bytes())
    place = content.find(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(content)
    read, expected = Video(frames=1).read(path)[0], applied(picture)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 4
    facts = Video().inspect(path)
    assert (facts["height"], facts["width"]) == expected.shape[:2]


def test_reads_an_animated_gif(tmp_path: Path) -> None:
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
