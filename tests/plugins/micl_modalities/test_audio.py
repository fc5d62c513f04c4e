"""Sounds as they are found on disks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from micl_cli.api import MediaError, OptionError
from micl_modalities import audio
from micl_modalities.audio import Audio

Write = Callable[..., Path]


def tone(hertz: float, seconds: float, rate: int) -> NDArray[np.float32]:
    """A sine of amplitude one half."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_reads_mono_float32(write_sound: Write) -> None:
    samples = tone(440, 0.5, 16000)
    sound = Audio().read(write_sound(samples, subtype="FLOAT"))
    assert sound.rate == 16000
    assert sound.samples.dtype == np.float32
    assert np.array_equal(sound.samples, samples)


def test_averages_channels(write_sound: Write) -> None:
    sound = Audio().read(write_sound(np.tile([0.5, -0.25], (1000, 1)), subtype="FLOAT"))
    assert sound.samples == pytest.approx(np.full(1000, 0.125))


def test_tells_the_facts_of_the_file(write_sound: Write) -> None:
    path = write_sound(np.zeros((22050, 2)), 44100)
    assert Audio(rate=8000).inspect(path) == {"seconds": 0.5, "rate": 44100, "channels": 2}


@pytest.mark.parametrize("source", [8000, 11025, 44100, 48000])
def test_resampling_keeps_pitch_time_and_loudness(write_sound: Write, source: int) -> None:
    sound = Audio(rate=16000).read(write_sound(tone(440, 1.0, source), source, subtype="FLOAT"))
    assert len(sound.samples) == pytest.approx(16000, abs=40)
    middle = slice(2000, 14000)
    assert np.abs(sound.samples[middle] - tone(440, 1.0, 16000)[middle]).max() < 0.01


def test_resampling_lets_nothing_alias(write_sound: Write) -> None:
    sound = Audio(rate=8000).read(write_sound(tone(6000, 1.0, 48000), 48000))
    assert np.abs(sound.samples[500:-500]).max() < 0.01


def test_reads_only_the_first_seconds(write_sound: Write) -> None:
    samples = tone(440, 2.0, 16000)
    sound = Audio(seconds=0.25).read(write_sound(samples, subtype="FLOAT"))
    assert np.array_equal(sound.samples, samples[:4000])


@pytest.mark.parametrize("count", [1, 2, 40, 100])
@pytest.mark.parametrize(("source", "rate"), [(44100, 8000), (192000, 16000), (8000, 48000), (11025, 16000)])
def test_a_sound_shorter_than_the_resampling_filter_is_read(
    write_sound: Write, count: int, source: int, rate: int
) -> None:
    path = write_sound(np.full(count, 0.5), source, subtype="FLOAT")
    samples = Audio(rate=rate).read(path).samples
    assert len(samples) == pytest.approx(max(1, count * rate / source), abs=3)
    assert 0 < np.abs(samples).max() < 1
    assert Audio().inspect(path)["seconds"] == pytest.approx(count / source, abs=1e-6)


def test_an_impossible_rate_is_an_error(write_sound: Write) -> None:
    path = write_sound(np.zeros(100))
    content = bytearray(path.read_bytes())
    content[24:28] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    for call in (Audio().read, Audio().inspect):
        with pytest.raises(MediaError, match="its rate is 2,147,483,647 samples per second"):
            call(path)


def test_a_short_sound_stays_short(write_sound: Write) -> None:
    assert len(Audio(seconds=3.0).read(write_sound(np.zeros(100))).samples) == 100


@pytest.mark.parametrize(("name", "rate"), [("a.flac", 44100), ("a.ogg", 44100), ("a.mp3", 44100), ("a.aiff", 22050)])
def test_reads_what_soundfile_reads(write_sound: Write, name: str, rate: int) -> None:
    path = write_sound(tone(440, 1.0, rate), rate, name)
    assert Audio().inspect(path)["seconds"] == pytest.approx(1.0, abs=0.1)
    assert np.abs(Audio().read(path).samples).max() == pytest.approx(0.5, abs=0.05)


def test_a_name_that_says_raw_tells_nothing(write_sound: Write, tmp_path: Path) -> None:
    path = write_sound(tone(440, 1.0, 16000)).rename(tmp_path / "a.raw")
    assert Audio().inspect(path)["seconds"] == 1.0
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(MediaError, match=r"a\.raw: cannot be read as a sound"):
        Audio().inspect(path)


@pytest.mark.parametrize("name", ["sound.m4a", "sound.mp4"])
def test_reads_what_only_pyav_reads(write_aac: Write, name: str) -> None:
    path = write_aac(tone(440, 1.0, 16000), name=name)
    assert Audio().inspect(path) == {"seconds": pytest.approx(1.0, abs=0.15), "rate": 16000, "channels": 1}
    assert np.abs(Audio().read(path).samples).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("options", [{"rate": 0}, {"seconds": 0.0}])
def test_options_must_be_positive(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Audio(**options)


def test_loud_floats_are_clipped(write_sound: Write) -> None:
    sound = Audio().read(write_sound(np.array([0.0, 3.0, -3.0]), subtype="FLOAT"))
    assert sound.samples.tolist() == [0.0, 1.0, -1.0]


def test_sound_without_samples_is_an_error(write_sound: Write) -> None:
    path = write_sound(np.zeros(0))
    for call in (Audio().read, Audio().inspect):
        with pytest.raises(MediaError, match=r"sound\.wav: cannot be read as a sound: it holds no samples"):
            call(path)


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(MediaError, match="the file is empty"):
        Audio().inspect(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "reason"), [("a.wav", "truncated: [0-9]+ of [0-9]+ bytes"), ("a.flac", ""), ("a.ogg", "truncated: ")]
)
def test_truncated_sound_is_an_error(write_sound: Write, name: str, reason: str) -> None:
    path = write_sound(np.random.default_rng(0).uniform(-1, 1, 20000), name=name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=f"cannot be read as a sound: .*{reason}"):
        Audio().inspect(path)


def test_wav_of_a_stream_has_no_length_to_miss(write_sound: Write) -> None:
    path = write_sound(np.zeros(1000))
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(Audio().read(path).samples) == 1000


def test_samples_that_are_no_numbers_are_an_error(write_sound: Write) -> None:
    with pytest.raises(MediaError, match="not finite"):
        Audio().inspect(write_sound(np.array([0.0, np.nan]), subtype="FLOAT"))


def test_very_long_sound_is_refused(write_sound: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MAX_SECONDS", 1.0)
    path = write_sound(np.zeros(16001))
    with pytest.raises(MediaError, match="longer than 1 seconds"):
        Audio().inspect(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.wav", b"\x89PNG\r\n\x1a\n" + bytes(100), "its content is PNG"),
        ("a.mp3", b"hello, I am no sound\n", "it holds text"),
        ("a.flac", b"OggS" + bytes(100), "its name says FLAC, its content is Ogg .rename it to a.ogg."),
        ("a.png", b"RIFF\x24\0\0\0WAVEfmt ", "its content is WAV|its name says PNG"),
        ("a.wav", bytes(range(256)), "damaged or in no known format"),
    ],
)
def test_file_that_is_no_sound(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=f"cannot be read as a sound: .*({reason})"):
        Audio().inspect(tmp_path / name)


def test_clip_without_sound_is_an_error(write_video: Write) -> None:
    with pytest.raises(MediaError, match="no sound track"):
        Audio().read(write_video([0, 50, 100]))


@settings(max_examples=40)
@given(data=st.data())
def test_damaged_bytes_give_a_sound_or_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / data.draw(st.sampled_from(["a.wav", "a.flac", "a.ogg", "a.m4a"]))
    content = bytearray(_content(path.name, tmp_path_factory))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert len(Audio().read(path).samples)
    except MediaError as error:
        assert str(path) in error.message


def _content(name: str, folders: pytest.TempPathFactory) -> bytes:
    import av
    import soundfile

    path = folders.mktemp("whole") / name
    if not name.endswith(".m4a"):
        soundfile.write(path, tone(440, 0.2, 16000), 16000)
        return path.read_bytes()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(440, 0.2, 16000)[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        for part in (frame, None):
            container.mux(stream.encode(part))
    return path.read_bytes()
