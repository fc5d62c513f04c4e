"""Clips of lamps that change without moving, for the tuning tasks. No scene is one of another family."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from micl_tasks.mini.language import VIDEO, Field, Question, asker
from micl_tasks.mini.media import CENTRES, FRAMES, RGB, SIZE, Bytes, Floats, background, encode_video, to_pixels
from micl_tasks.mini.scenes import COLOURS, PLACES, Scene, pick

CHANGES = ("blinks", "grows", "shrinks", "fades", "glows")


@dataclass(frozen=True)
class Lamp:
    """A coloured lamp and how it changes; one that glows does not change."""

    colour: str
    change: str
    place: str


@dataclass(frozen=True)
class LampScene(Scene):
    """One or two lamps in different places."""

    lamps: tuple[Lamp, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(f"{lamp.colour} lamp {lamp.change} {lamp.place}" for lamp in self.lamps)


def lamp_scene(rng: Generator) -> LampScene:
    """Draw a lamp scene, out of 4,620."""
    places = sorted(rng.permutation(len(PLACES))[: rng.integers(1, 3)])
    colours = rng.permutation(len(COLOURS))
    return LampScene(
        tuple(Lamp(COLOURS[c], pick(rng, CHANGES), PLACES[p]) for c, p in zip(colours, places, strict=False))
    )


def lamp_captions(scene: Scene) -> tuple[str, ...]:
    """Return five captions of lamps; each names their colours, changes and places."""
    assert isinstance(scene, LampScene)
    each = [f"a {lamp.colour} lamp {lamp.change} at the {lamp.place}" for lamp in scene.lamps]
    turned = [f"at the {lamp.place} a {lamp.colour} lamp {lamp.change}" for lamp in scene.lamps]
    return (
        " and ".join(each),
        "the video shows that " + " while ".join(each),
        "you see how " + " and how ".join(each),
        " and ".join(turned),
        "look: " + ", ".join(turned),
    )


def _change(scene: LampScene, rng: Generator) -> Question:
    lamp = pick(rng, scene.lamps)
    return Question(f"what does the {lamp.colour} lamp do?", lamp.change)


def _at_place(scene: LampScene, rng: Generator) -> Question:
    lamp = pick(rng, scene.lamps)
    return Question(f"what does the lamp at the {lamp.place} do?", lamp.change)


def _colour(scene: LampScene, rng: Generator) -> Question:
    lamp = pick(rng, scene.lamps)
    return Question(f"what colour is the lamp at the {lamp.place}?", lamp.colour)


def _place(scene: LampScene, rng: Generator) -> Question:
    lamp = pick(rng, scene.lamps)
    return Question(f"where is the {lamp.colour} lamp?", lamp.place)


def _count(scene: LampScene, rng: Generator) -> Question:
    return Question("how many lamps are there?", ("one", "two")[len(scene.lamps) - 1])


LAMP = Field(
    "video",
    VIDEO.instruction,
    lamp_scene,
    lamp_captions,
    {
        "change": asker(LampScene, _change),
        "at_place": asker(LampScene, _at_place),
        "colour": asker(LampScene, _colour),
        "place": asker(LampScene, _place),
        "count": asker(LampScene, _count),
    },
    (*COLOURS, *CHANGES, *PLACES, "one", "two"),
)


def _course(change: str) -> tuple[Floats, Floats]:
    """Return brightness and relative size of a lamp in each frame."""
    time = np.linspace(0, 1, FRAMES)
    steady = np.ones(FRAMES)
    brightness = {"blinks": (np.arange(FRAMES) // 2 % 2 == 0).astype(float), "fades": 1 - 0.85 * time}
    radius = {"grows": 0.35 + 0.65 * time, "shrinks": 1 - 0.65 * time}
    return brightness.get(change, steady), radius.get(change, steady)


def render_lamps(scene: LampScene, rng: Generator) -> Bytes:
    """Render the scene as RGB frames, uint8 [FRAMES, SIZE, SIZE, 3]."""
    canvas = background(FRAMES, rng)
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    for lamp in scene.lamps:
        centre = np.array(CENTRES[lamp.place]) + rng.uniform(-3, 3, 2)
        brightness, relative = _course(lamp.change)
        radius = rng.uniform(7.5, 9.5) * relative
        distance = np.hypot(x - centre[0], y - centre[1])
        cover = np.clip(radius[:, None, None] - distance + 0.5, 0, 1) * brightness[:, None, None]
        tint = np.array(RGB[lamp.colour]) * rng.uniform(0.85, 1.1) + rng.normal(0, 8, 3)
        canvas += cover[..., None] * (tint - canvas)
    return to_pixels(canvas, rng.uniform(2, 6), rng)


def write_lamps(path: Path, scene: LampScene, rng: Generator) -> None:
    """Write the scene as an MP4 file."""
    encode_video(path, render_lamps(scene, rng))
