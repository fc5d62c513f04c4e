from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.random import default_rng
from PIL import Image

from micl_tasks.mini import media
from micl_tasks.mini.scenes import (
    COLOURS,
    SHAPES,
    TIMBRES,
    ImageScene,
    SoundScene,
    Thing,
    Tone,
    VideoScene,
    sound_scene,
)


def picture(colour: str, shape: str, place: str, seed: int = 0) -> np.ndarray:
    return media.render_image(ImageScene((Thing(colour, shape, place),)), default_rng(seed)).astype(int)


def brightest(frame: np.ndarray) -> tuple[float, float]:
    """The centre (x, y) of what is much brighter than the ground."""
    y, x = np.nonzero(frame.max(-1) > 130)
    return float(x.mean()), float(y.mean())


@pytest.mark.parametrize(
    ("place", "left", "top"), [("top left", True, True), ("bottom right", False, False), ("top right", False, True)]
)
def test_a_thing_stands_in_its_quarter(place: str, left: bool, top: bool) -> None:
    x, y = brightest(picture("white", "circle", place))
    assert (x < 24, y < 24) == (left, top)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_can_be_seen(shape: str) -> None:
    area = (picture("white", shape, "top left") > 150).all(-1).sum()
    assert 40 < area < 400


@pytest.mark.parametrize("colour", COLOURS)
def test_a_thing_has_its_colour(colour: str) -> None:
    frame = picture(colour, "circle", "top left")
    y, x = (round(v) for v in brightest(frame)[::-1])
    ground = np.array(media._RGB[colour])
    assert np.abs(frame[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) - ground).max() < 60


def test_the_same_scene_looks_different_each_time() -> None:
    assert (picture("red", "star", "top left", 0) != picture("red", "star", "top left", 1)).mean() > 0.5


@pytest.mark.parametrize(
    ("direction", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)]
)
@pytest.mark.parametrize(("speed", "low", "high"), [("slowly", 6, 14), ("quickly", 20, 30)])
def test_the_mover_moves_its_way(direction: str, axis: int, sign: int, speed: str, low: float, high: float) -> None:
    frames = media.render_video(VideoScene(Thing("white", "circle"), direction, speed), default_rng(0))
    travel = np.subtract(brightest(frames[-1]), brightest(frames[0]))
    assert low < sign * travel[axis] < high
    assert abs(travel[1 - axis]) < 2


def test_what_stands_still_stays() -> None:
    scene = VideoScene(Thing("purple", "star"), "left", "quickly", Thing("white", "circle"))
    frames = media.render_video(scene, default_rng(0)).astype(int)
    y, x = np.nonzero(frames[0].min(-1) > 170)
    assert len(y) > 30
    assert (frames[:, y, x].min(-1) > 130).mean() > 0.95


@pytest.mark.parametrize("seed", range(20))
def test_events_fit_into_the_clip_and_do_not_overlap(seed: int) -> None:
    rng = default_rng(seed)
    when, seconds = media.timing(sound_scene(rng), rng)
    assert 1.0 <= seconds <= media.SECONDS
    for before, after in itertools.pairwise(when):
        assert before.start + before.seconds < after.start
    assert when[-1].start + when[-1].seconds <= seconds


@pytest.mark.parametrize("timbre", TIMBRES)
def test_higher_pitch_has_higher_frequencies(timbre: str) -> None:
    centres = []
    for pitch in ("low", "medium", "high"):
        wave = media.render_sound(SoundScene((Tone(pitch, timbre),)), [media.Interval(0.1, 0.4)], 1.0, default_rng(0))
        power = np.abs(np.fft.rfft(wave[800:4000])) ** 2
        centres.append((power * np.arange(len(power))).sum() / power.sum())
    assert centres[0] < centres[1] < centres[2]


def test_files_are_what_their_names_say(tmp_path: Path) -> None:
    rng = default_rng(0)
    media.write_image(tmp_path / "a.png", ImageScene((Thing("red", "circle", "top left"),)), rng)
    media.write_sound(tmp_path / "a.wav", SoundScene((Tone("low", "beep"),)), rng)
    media.write_video(tmp_path / "a.mp4", VideoScene(Thing("red", "ring"), "left", "slowly"), rng)
    assert Image.open(tmp_path / "a.png").size == (48, 48)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
    with av.open(str(tmp_path / "a.mp4")) as clip:
        assert len(list(clip.decode(video=0))) == media.FRAMES


def test_encoding_keeps_the_frames(tmp_path: Path) -> None:
    frames = media.render_video(VideoScene(Thing("yellow", "cross"), "down", "quickly"), default_rng(1))
    media.encode_video(tmp_path / "a.mp4", frames)
    with av.open(str(tmp_path / "a.mp4")) as clip:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])
    assert np.abs(decoded.astype(int) - frames).mean() < 8
