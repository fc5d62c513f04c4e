"""Rendering of scenes to pixels and samples, with noise and jitter, and to PNG, WAV and MP4 files.

All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from math import pi
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from micl_tasks.mini.scenes import ImageScene, SoundScene, Thing, Tone, VideoScene

SIZE = 48
FRAMES = 8
FPS = 8
RATE = 8000
SECONDS = 2.0

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

RGB = {
    "red": (215, 45, 40),
    "green": (45, 175, 60),
    "blue": (50, 90, 225),
    "yellow": (230, 205, 50),
    "white": (235, 235, 235),
    "purple": (155, 60, 190),
}
CENTRES = {"top left": (12, 12), "top right": (36, 12), "bottom left": (12, 36), "bottom right": (36, 36)}
_HERTZ = {"low": (220.0, 320.0), "medium": (620.0, 880.0), "high": (1600.0, 2300.0)}
_STEPS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
_TRAVEL = {"slowly": (8.0, 12.0), "quickly": (22.0, 27.0)}


class Interval(NamedTuple):
    """The time interval of a sound event, in seconds."""

    start: float
    seconds: float


def _corners(shape: str) -> Floats:
    """Return a shape's corners [n, 2] around the origin, within a circle of radius 1.2."""
    if shape == "cross":
        a, b = 0.36, 1.08
        return np.array(
            [(a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a), (-a, -b), (a, -b), (a, -a), (b, -a), (b, a)]
        )
    n, radii = {"square": (4, (1.2,)), "triangle": (3, (1.2,)), "star": (10, (1.2, 0.5))}[shape]
    turn = pi / 4 if shape == "square" else -pi / 2
    angles = turn + 2 * pi * np.arange(n) / n
    corners: Floats = np.resize(radii, n)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corners


@cache
def _outline(shape: str) -> Floats:
    """Return the shape's radius at 361 angles: every ray from its centre meets its outline once."""
    angles = np.linspace(0, 2 * pi, 361)
    if shape in ("circle", "ring"):
        return np.ones_like(angles)
    a = _corners(shape)
    b = np.roll(a, -1, axis=0)
    ray = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None]
    edge, cross = b - a, a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = cross / (ray[..., 0] * edge[:, 1] - ray[..., 1] * edge[:, 0])
        along = ((ray * reach[..., None] - a) * edge).sum(-1) / (edge**2).sum(-1)
    on_edge = (reach > 0) & (along > -1e-6) & (along < 1 + 1e-6)
    nearest: Floats = np.where(on_edge, reach, np.inf).min(axis=1)
    return nearest


def _mask(shape: str, x: Floats, y: Floats, radius: float, turn: float) -> Floats:
    """Return how much of each pixel the shape covers, [frames, H, W]; ``x`` and ``y`` are relative to its centre."""
    dx, dy = x[:, None, :], y[:, :, None]
    distance = np.hypot(dx, dy)
    edge = radius * np.interp((np.arctan2(dy, dx) - turn) % (2 * pi), np.linspace(0, 2 * pi, 361), _outline(shape))
    mask = np.clip(edge - distance + 0.5, 0, 1)
    return mask * np.clip(distance - 0.5 * radius + 0.5, 0, 1) if shape == "ring" else mask


def _paint(canvas: Floats, thing: Thing, centres: Floats, rng: Generator) -> None:
    """Paint the thing on ``canvas`` [frames, SIZE, SIZE, 3] at one centre per frame."""
    radius, turn = rng.uniform(7.0, 9.5), rng.uniform(-0.25, 0.25)
    colour = np.array(RGB[thing.colour]) * rng.uniform(0.85, 1.1) + rng.normal(0, 8, 3)
    reach = radius * _outline(thing.shape).max()
    low = np.clip(centres.min(0) - reach - 1, 0, SIZE).astype(int)
    high = np.clip(centres.max(0) + reach + 2, 0, SIZE).astype(int)
    x, y = (np.arange(low[i], high[i]) + 0.5 - centres[:, i, None] for i in (0, 1))
    region = canvas[:, low[1] : high[1], low[0] : high[0]]
    region += _mask(thing.shape, x, y, radius, turn)[..., None] * (colour - region)


def background(frames: int, rng: Generator) -> Floats:
    """Return a dark background with a brightness gradient, [frames, SIZE, SIZE, 3]."""
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE))
    slope = rng.uniform(-12, 12) * x + rng.uniform(-12, 12) * y
    ground = rng.uniform(15, 60, 3) + slope[..., None]
    return np.repeat(ground[None], frames, axis=0)


def to_pixels(canvas: Floats, noise: float, rng: Generator) -> Bytes:
    return np.clip(canvas + rng.normal(0, noise, canvas.shape), 0, 255).astype(np.uint8)


def render_image(scene: ImageScene, rng: Generator) -> Bytes:
    """Render the scene as RGB pixels, uint8 [SIZE, SIZE, 3]."""
    canvas = background(1, rng)
    for thing in scene.things:
        _paint(canvas, thing, np.array([CENTRES[thing.place]]) + rng.uniform(-3, 3, (1, 2)), rng)
    frame: Bytes = to_pixels(canvas, rng.uniform(4, 12), rng)[0]
    return frame


def _path(scene: VideoScene, rng: Generator) -> tuple[Floats, Floats]:
    """Return the centres of the moving and of the still shape, each [FRAMES, 2], in different halves of the frame."""
    step = np.array(_STEPS[scene.direction])
    lane = abs(step[::-1])
    side = rng.choice((-1.0, 1.0)) if scene.still else 0.0
    middle = 24 + lane * (side * rng.uniform(9, 12) + rng.uniform(-2, 2))
    travel = rng.uniform(*_TRAVEL[scene.speed])
    slack = rng.uniform(-1, 1) * (30 - travel) / 2
    along = (np.linspace(-0.5, 0.5, FRAMES) * travel)[:, None] * step + abs(step) * slack
    rest = 24 - lane * side * rng.uniform(9, 12) + abs(step) * rng.uniform(-12, 12)
    return middle + along, np.repeat(rest[None], FRAMES, axis=0)


def render_video(scene: VideoScene, rng: Generator) -> Bytes:
    """Render the scene as RGB frames, uint8 [FRAMES, SIZE, SIZE, 3]."""
    canvas = background(FRAMES, rng)
    moving, resting = _path(scene, rng)
    if scene.still:
        _paint(canvas, scene.still, resting, rng)
    _paint(canvas, scene.mover, moving, rng)
    return to_pixels(canvas, rng.uniform(2, 6), rng)


def timing(scene: SoundScene, rng: Generator) -> tuple[tuple[Interval, ...], float]:
    """Draw the interval of each event, and the length of the sound in seconds (1 to SECONDS)."""
    lengths = rng.uniform(0.3, 0.42, len(scene.tones))
    gaps = rng.uniform(0.06, 0.16, len(scene.tones))
    needed = float(lengths.sum() + gaps.sum())
    total = rng.uniform(max(1.0, needed + 0.05), SECONDS)
    start = rng.uniform(0.02, max(0.03, total - needed))
    starts = start + np.concatenate([[0.0], np.cumsum(lengths + gaps)[:-1]])
    return tuple(Interval(float(s), float(n)) for s, n in zip(starts, lengths, strict=True)), float(total)


def _hiss(n: int, hertz: float, rng: Generator) -> Floats:
    """Return ``n`` samples of noise in the band from 0.7 to 1.5 times ``hertz``."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    frequencies = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(frequencies < 0.7 * hertz) | (frequencies > 1.5 * hertz)] = 0
    wave: Floats = np.fft.irfft(spectrum, n)
    wave /= np.abs(wave).max()
    return wave


def partials(hertz: float, ratios: Sequence[float], t: Floats) -> Floats:
    """Return the sum of sines at ``ratios`` times ``hertz`` with amplitude 1 / ratio, below half the sample rate."""
    audible = np.array([r for r in ratios if r * hertz < RATE / 2])
    waves: Floats = (np.sin(2 * pi * hertz * audible[:, None] * t) / audible[:, None]).sum(0)
    return waves


def _wave(timbre: str, n: int, hertz: float, rng: Generator) -> Floats:
    """Return ``n`` samples of the timbre, within about [-1, 1]."""
    t: Floats = np.arange(n) / RATE
    wave: Floats = np.sin(2 * pi * hertz * t)
    if timbre == "hiss":
        wave = _hiss(n, hertz, rng)
    elif timbre == "buzz":
        wave = partials(hertz, (1, 2, 3, 4), t) * np.where(np.sin(2 * pi * rng.uniform(25, 35) * t) > 0, 0.7, 0.1)
    elif timbre == "chirp":
        wave = np.sin(2 * pi * hertz * (0.65 * t + 0.4 * t**2 / t[-1]))
    elif timbre == "bell":
        wave = partials(hertz, (1.0, 1.5, 2.1), t) * np.exp(-t * 11) * 0.7
    elif timbre == "knock":
        beat = t % (t[-1] / 3)
        wave = np.sin(2 * pi * hertz * beat) * np.exp(-beat * 70)
    return wave


def _event(tone: Tone, seconds: float, rng: Generator) -> Floats:
    n = round(seconds * RATE)
    fade = np.clip(np.minimum(np.arange(n), n - 1 - np.arange(n)) / (0.012 * RATE), 0, 1)
    return _wave(tone.timbre, n, rng.uniform(*_HERTZ[tone.pitch]), rng) * fade * rng.uniform(0.25, 0.8)


def render_sound(scene: SoundScene, when: Sequence[Interval], seconds: float, rng: Generator) -> NDArray[np.float32]:
    """Render the scene as mono samples at RATE, float32 in [-1, 1], with its events at the intervals ``when``."""
    samples = rng.normal(0, rng.uniform(0.004, 0.02), round(seconds * RATE))
    for tone, (start, length) in zip(scene.tones, when, strict=True):
        event = _event(tone, length, rng)
        begin = round(start * RATE)
        samples[begin : begin + len(event)] += event[: len(samples) - begin]
    return np.clip(samples, -1, 1).astype(np.float32)


def write_image(path: Path, scene: ImageScene, rng: Generator) -> None:
    """Write the scene as a PNG file."""
    from PIL import Image

    Image.fromarray(render_image(scene, rng)).save(path)


def write_sound(path: Path, scene: SoundScene, rng: Generator) -> None:
    """Write the scene as a 16-bit WAV file."""
    import soundfile

    file = BytesIO()  # soundfile syncs each file that it writes to the disk itself
    soundfile.write(file, render_sound(scene, *timing(scene, rng), rng), RATE, subtype="PCM_16", format="WAV")
    path.write_bytes(file.getvalue())


def write_video(path: Path, scene: VideoScene, rng: Generator) -> None:
    """Write the scene as an MP4 file."""
    encode_video(path, render_video(scene, rng))


def encode_video(target: Path, frames: Bytes) -> None:
    """Write ``frames`` [n, height, width, 3] as MP4 with MPEG-4 part 2, an encoder of every FFmpeg build."""
    import av

    with av.open(str(target), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=FPS, options={"qmin": "1", "qmax": "2", "flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.thread_count = 1
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
