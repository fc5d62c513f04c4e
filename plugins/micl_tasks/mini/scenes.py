"""Scenes: symbolic descriptions of media, from which pixels, samples and sentences are generated.

A scene is compositional and identified by its description in words (``words``), which alone determines its split: no
scene is ever in two splits, whichever task or seed draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from numpy.random import Generator

COLOURS = ("red", "green", "blue", "yellow", "white", "purple")
SHAPES = ("circle", "square", "triangle", "cross", "star", "ring")
PLACES = ("top left", "top right", "bottom left", "bottom right")
TIMBRES = ("beep", "buzz", "hiss", "chirp", "bell", "knock")
PITCHES = ("low", "medium", "high")
DIRECTIONS = ("left", "right", "up", "down")
SPEEDS = ("slowly", "quickly")
NUMBERS = ("one", "two", "three")

T = TypeVar("T")


def split_of(words: str) -> str:
    """Return the split of the scene with these words."""
    bucket = int.from_bytes(sha256(words.encode()).digest()[:4], "big") % 10
    return "val" if bucket == 0 else "test" if bucket <= 2 else "train"


@dataclass(frozen=True)
class Thing:
    """A coloured shape; ``place`` is empty where the scene has no fixed places."""

    colour: str
    shape: str
    place: str = ""


@dataclass(frozen=True)
class Tone:
    """One sound event."""

    pitch: str
    timbre: str


@dataclass(frozen=True)
class Scene:
    """The symbolic content of a medium."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """One phrase per element of the scene, in spatial or temporal order."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """The unique description of the scene in words."""
        return " ; ".join(self.phrases)

    @property
    def split(self) -> str:
        """The split of this scene: 70 % train, 10 % val, 20 % test."""
        return split_of(self.words)


@dataclass(frozen=True)
class ImageScene(Scene):
    """One to three shapes, each in its own quarter of the image, in reading order."""

    things: tuple[Thing, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(f"{t.colour} {t.shape} {t.place}" for t in self.things)


@dataclass(frozen=True)
class SoundScene(Scene):
    """A sequence of one to three events of different timbres."""

    tones: tuple[Tone, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(f"{t.pitch} {t.timbre}" for t in self.tones)


@dataclass(frozen=True)
class VideoScene(Scene):
    """A moving shape, and optionally a still one."""

    mover: Thing
    direction: str
    speed: str
    still: Thing | None = None

    @property
    def phrases(self) -> tuple[str, ...]:
        moving = f"{self.mover.colour} {self.mover.shape} {self.direction} {self.speed}"
        return (moving, f"{self.still.colour} {self.still.shape} still") if self.still else (moving,)


def pick(rng: Generator, choices: tuple[T, ...]) -> T:
    """Draw one of ``choices`` uniformly."""
    return choices[int(rng.integers(len(choices)))]


def image_scene(rng: Generator) -> ImageScene:
    """Draw an image scene, out of about 110,000."""
    places = sorted(rng.permutation(len(PLACES))[: rng.integers(1, 4)])
    return ImageScene(tuple(Thing(pick(rng, COLOURS), pick(rng, SHAPES), PLACES[p]) for p in places))


def sound_scene(rng: Generator) -> SoundScene:
    """Draw a sound scene, out of 3,528."""
    timbres = rng.permutation(len(TIMBRES))[: rng.integers(1, 4)]
    return SoundScene(tuple(Tone(pick(rng, PITCHES), TIMBRES[t]) for t in timbres))


def video_scene(rng: Generator) -> VideoScene:
    """Draw a video scene, out of 7,488."""
    colours, shapes = rng.permutation(len(COLOURS)), rng.permutation(len(SHAPES))
    mover, other = (Thing(COLOURS[colours[i]], SHAPES[shapes[i]]) for i in (0, 1))
    still = other if rng.random() < 0.6 else None
    return VideoScene(mover, pick(rng, DIRECTIONS), pick(rng, SPEEDS), still)
