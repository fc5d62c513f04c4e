from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.random import default_rng
from PIL import Image

from micl_tasks.mini import lamps, media, melodies, patterns
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
    ground = np.array(media.RGB[colour])
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


@pytest.mark.parametrize("figure", patterns.FIGURES)
def test_a_pattern_covers_less_than_its_ground(figure: str) -> None:
    pixels = patterns.render_pattern(patterns.PatternScene("coarse", "white", figure, "blue"), default_rng(0))
    covered = (pixels.astype(int).min(-1) > 130).mean()
    assert 0.1 < covered < 0.5


def test_a_frame_surrounds_the_pattern() -> None:
    scene = patterns.PatternScene("fine", "red", "dots", "blue", "white")
    pixels = patterns.render_pattern(scene, default_rng(0)).astype(int)
    border = np.concatenate([pixels[:4].reshape(-1, 3), pixels[:, :4].reshape(-1, 3)])
    assert (border.min(-1) > 130).mean() > 0.95
    assert (pixels[8:40, 8:40].min(-1) > 150).mean() < 0.05


def test_a_fine_pattern_repeats_more_often_than_a_coarse_one() -> None:
    changes = []
    for width in patterns.WIDTHS:
        pixels = patterns.render_pattern(patterns.PatternScene(width, "white", "stripes", "blue"), default_rng(0))
        bright = pixels[24].astype(int).min(-1) > 130
        changes.append(int((bright[1:] != bright[:-1]).sum()))
    assert changes[0] > 1.5 * changes[1]


@pytest.mark.parametrize(("contour", "sign"), [("rising", 1), ("falling", -1), ("level", 0)])
@pytest.mark.parametrize("instrument", melodies.INSTRUMENTS)
def test_a_melody_has_its_contour(contour: str, sign: int, instrument: str) -> None:
    wave = melodies.render_melody(melodies.MelodyScene((melodies.Phrase("two", contour, instrument),)), default_rng(3))
    loud = np.flatnonzero(np.abs(wave) > 0.1)
    first, last = wave[loud[0] : loud[0] + 2000], wave[loud[-1] - 2000 : loud[-1]]
    hertz = [np.abs(np.fft.rfft(part, 16000))[500:1600].argmax() / 2 + 250 for part in (first, last)]
    assert np.sign(round((hertz[1] - hertz[0]) / 30)) == sign


@pytest.mark.parametrize(("change", "sign"), [("grows", 1), ("shrinks", -1), ("fades", -1), ("glows", 0)])
def test_a_lamp_changes_as_it_says(change: str, sign: int) -> None:
    scene = lamps.LampScene((lamps.Lamp("white", change, "top left"),))
    light = lamps.render_lamps(scene, default_rng(0)).astype(float).sum((1, 2, 3))
    assert np.sign(round((light[-1] - light[0]) / light[0], 1)) == sign


def test_a_lamp_that_blinks_is_off_in_between() -> None:
    scene = lamps.LampScene((lamps.Lamp("white", "blinks", "top left"),))
    frames = lamps.render_lamps(scene, default_rng(0))
    assert [bool(frame.max() > 180) for frame in frames] == [True, True, False, False] * 2


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
