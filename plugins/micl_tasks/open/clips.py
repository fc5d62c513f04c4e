"""Short clips of animated figures that walk, work or stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from micl_tasks.open.language import Question, a, among
from micl_tasks.open.sprites import Figure, texture

GAME = "usr/share/games/widelands/data"
SIZE = 128
FRAMES = 12
FPS = 8
Bytes = NDArray[np.uint8]

GROUNDS = {
    "sand": ("desert/beach", "desert/desert1", "desert/desert2", "desert/desert3", "summer/beach"),
    "grass": ("desert/meadow", "desert/steppe", "summer/meadow2", "summer/meadow3", "summer/meadow4"),
    "snow": ("summer/snow", "winter/snow", "winter/tundra"),
    "rock": ("summer/mountain1", "summer/mountain2", "summer/mountain3", "summer/mountain4"),
    "lava": ("summer/lava", "wasteland/lava_stone1", "wasteland/lava_stone2"),
    "clay": ("desert/mountain1", "desert/mountain2", "desert/mountain3"),
    "coal": ("wasteland/mountain1", "wasteland/mountain2", "wasteland/mountain3", "wasteland/mountain4"),
    "water": ("desert/water", "summer/water", "wasteland/water", "winter/water"),
}
WAYS = {"e": "east", "w": "west", "ne": "northeast", "nw": "northwest", "se": "southeast", "sw": "southwest"}
"""The directions as on a map: north is up."""
_STEPS = {
    "e": (1.0, 0.0),
    "w": (-1.0, 0.0),
    "ne": (0.62, -0.78),
    "nw": (-0.62, -0.78),
    "se": (0.62, 0.78),
    "sw": (-0.62, 0.78),
}
WALKS, WORKS, STANDS = "walks", "works", "stands still"
_ACTIONS = {"walk": WALKS, "idle": STANDS}
"""The action of an animation by its name; all other animations show work."""

Groups = Mapping[str, tuple[Figure, ...]]


class Clip(NamedTuple):
    """A figure in one of its animations, and the ground under it. The name of an animation is (name, direction)."""

    figure: Figure
    animation: tuple[str, str]
    ground: str
    terrain: str

    @property
    def action(self) -> str:
        """The action of the figure."""
        return _ACTIONS.get(self.animation[0], WORKS)

    @property
    def way(self) -> str:
        """The direction of walking, or an empty text."""
        return WAYS.get(self.animation[1], "")


def draw(groups: Groups, actions: tuple[str, ...], rng: Generator) -> Clip:
    """Draw a clip: one of ``actions``, then a figure that performs it."""
    action = among(rng, actions)
    while True:
        figure = among(rng, groups[among(rng, tuple(groups))])
        if animations := [name for name in figure.by_action if _ACTIONS.get(name[0], WORKS) == action]:
            ground = among(rng, tuple(GROUNDS))
            return Clip(figure, among(rng, animations), ground, among(rng, GROUNDS[ground]))


def captions(clip: Clip) -> tuple[str, ...]:
    """Return the captions of a clip; each names the figure, its action and direction, and the ground."""
    who, ground, way = a(clip.figure.group), clip.ground, clip.way
    action = f"walks {way}" if way else clip.action
    doing = {WALKS: f"walking {way}", WORKS: "working", STANDS: "standing still"}[clip.action]
    return (
        f"{who} {action} on {ground}",
        f"on {ground}, {who} {action}",
        f"{who} is {doing} on {ground}",
        f"the clip shows {who} {doing}, and below is {ground}",
        f"there is {who} on {ground} {doing}",
        f"you see {ground} and {who} {doing}",
        f"above {ground} {who} {action}",
        f"{doing} on {ground}: {who}",
    )


def ask_figure(clip: Clip, rng: Generator) -> Question:
    """Ask who is seen."""
    return Question("Who or what is seen?", clip.figure.group)


def ask_ground(clip: Clip, rng: Generator) -> Question:
    """Ask for the ground."""
    return Question("What is the ground?", clip.ground)


def ask_way(clip: Clip, rng: Generator) -> Question | None:
    """Ask for the direction of walking."""
    return Question("In which direction does it walk?", clip.way) if clip.way else None


def ask_action(clip: Clip, rng: Generator) -> Question:
    """Ask for the action."""
    return Question("What does it do?", clip.action)


QUESTIONS = {"figure": ask_figure, "ground": ask_ground, "way": ask_way, "deed": ask_action}


def render(clip: Clip, data: Path, rng: Generator) -> Bytes:
    """Return the frames, uint8 [FRAMES, SIZE, SIZE, 3]."""
    from PIL import Image

    animation = clip.figure.by_action[clip.animation]
    images = animation.images()
    largest = max(images[0].size)
    scale = rng.uniform(56, 68) / largest
    size = (max(1, round(images[0].width * scale)), max(1, round(images[0].height * scale)))
    ground, first = _ground(texture(data, clip.terrain), rng), int(rng.integers(len(images)))
    frames = []
    for number, (x, y) in enumerate(_path(clip.animation[1], rng)):
        canvas = Image.fromarray(ground)
        image = images[(first + number * animation.fps // FPS) % len(images)].resize(size, Image.Resampling.BILINEAR)
        canvas.paste(image, (round(x - size[0] / 2), round(y - size[1] / 2)), image)
        frames.append(np.asarray(canvas))
    return np.stack(frames)


def _ground(tile: Bytes, rng: Generator) -> Bytes:
    """Return the ground [SIZE, SIZE, 3], tiled from a texture."""
    from PIL import Image

    rolled = np.roll(tile, tuple(int(shift) for shift in rng.integers(0, tile.shape[0], 2)), axis=(0, 1))
    return np.asarray(Image.fromarray(rolled).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _path(direction: str, rng: Generator) -> NDArray[np.float64]:
    """Return the centre of the figure in each frame, [FRAMES, 2]."""
    centre = SIZE / 2 + rng.uniform(-8, 8, 2)
    step = np.array(_STEPS.get(direction, (0.0, 0.0)))
    along = np.linspace(-0.5, 0.5, FRAMES) * rng.uniform(44, 60)
    path: NDArray[np.float64] = centre + along[:, None] * step
    return path


def write_clip(path: Path, clip: Clip, data: Path, rng: Generator) -> None:
    """Render the clip to an MP4 file."""
    from micl_tasks.mini.media import encode_video

    encode_video(path, render(clip, data, rng))
