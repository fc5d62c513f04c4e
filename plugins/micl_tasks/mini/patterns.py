"""Pictures of patterns, which share the modality, the instruction and some question templates of pictures of shapes.

In captioning, only the content of a picture shows to which of the two families it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from micl_tasks.mini.language import IMAGE, Field, Question, asker
from micl_tasks.mini.media import RGB, SIZE, Bytes, Floats, background, to_pixels
from micl_tasks.mini.scenes import COLOURS, Scene, pick

FIGURES = ("stripes", "bands", "diamonds", "dots", "waves", "grid")
WIDTHS = ("fine", "coarse")
_PERIOD = {"fine": (6.0, 8.0), "coarse": (14.0, 18.0)}
_FRAME = 5
"""Width of the frame in pixels."""


@dataclass(frozen=True)
class PatternScene(Scene):
    """A pattern in one colour on a ground of another, with an optional frame of a third (empty: no frame)."""

    width: str
    colour: str
    figure: str
    ground: str
    frame: str = ""

    @property
    def phrases(self) -> tuple[str, ...]:
        pattern = (f"{self.width} {self.colour} {self.figure}", f"{self.ground} ground")
        return (*pattern, f"{self.frame} frame") if self.frame else pattern


def pattern_scene(rng: Generator) -> PatternScene:
    """Draw a pattern scene, out of 1,800."""
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
    frame = colours[2] if rng.random() < 0.6 else ""
    return PatternScene(pick(rng, WIDTHS), colours[0], pick(rng, FIGURES), colours[1], frame)


def pattern_captions(scene: Scene) -> tuple[str, ...]:
    """Return five captions of a pattern; each names figure, width, colour, ground and frame."""
    assert isinstance(scene, PatternScene)
    figure, ground, frame = f"{scene.width} {scene.colour} {scene.figure}", f"a {scene.ground} ground", scene.frame
    return (
        f"{figure} on {ground}" + (f" in a {frame} frame" if frame else ""),
        f"there is a pattern of {figure} on {ground}" + (f", with a {frame} frame" if frame else ""),
        f"the image shows {figure} over {ground}" + (f" and a {frame} frame around them" if frame else ""),
        f"{ground} with {figure}" + (f" and a {frame} frame" if frame else ""),
        (f"inside a {frame} frame are " if frame else "all over are ") + f"{figure} on {ground}",
    )


def _figure(scene: PatternScene, rng: Generator) -> Question:
    return Question(f"which pattern is {scene.colour}?", scene.figure)


def _colour(scene: PatternScene, rng: Generator) -> Question:
    verb = "is" if scene.figure == "grid" else "are"
    return Question(f"what colour {verb} the {scene.figure}?", scene.colour)


def _ground(scene: PatternScene, rng: Generator) -> Question:
    return Question("what colour is the ground?", scene.ground)


def _frame(scene: PatternScene, rng: Generator) -> Question:
    return Question("what colour is the frame?", scene.frame or "none")


def _width(scene: PatternScene, rng: Generator) -> Question:
    return Question("is the pattern fine or coarse?", scene.width)


def _which(scene: PatternScene, rng: Generator) -> Question:
    return Question("which pattern is there?", scene.figure)


PATTERN = Field(
    "image",
    IMAGE.instruction,
    pattern_scene,
    pattern_captions,
    {
        "figure": asker(PatternScene, _figure),
        "colour": asker(PatternScene, _colour),
        "ground": asker(PatternScene, _ground),
        "frame": asker(PatternScene, _frame),
        "width": asker(PatternScene, _width),
        "which": asker(PatternScene, _which),
    },
    (*COLOURS, *FIGURES, *WIDTHS, "none"),
)


def _cover(figure: str, period: float, rng: Generator) -> Floats:
    """Return how much of each pixel the figure covers, [SIZE, SIZE]."""
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    x, y = (x + rng.uniform(0, period)) / period, (y + rng.uniform(0, period)) / period
    across, down = np.abs(x % 1 - 0.5), np.abs(y % 1 - 0.5)  # 0 in the middle of a period, 0.5 at its ends
    distance = {
        "stripes": across - 0.17,
        "bands": down - 0.17,
        "diamonds": across + down - 0.32,
        "dots": np.hypot(across, down) - 0.3,
        "waves": np.abs((y + 0.25 * np.sin(2 * np.pi * x * 0.6)) % 1 - 0.5) - 0.16,
        "grid": np.minimum(across, down) - 0.13,
    }[figure]
    cover: Floats = np.clip(0.5 - distance * period, 0, 1)
    return cover


def _tint(colour: str, rng: Generator) -> Floats:
    tint: Floats = np.array(RGB[colour]) * rng.uniform(0.85, 1.1) + rng.normal(0, 8, 3)
    return tint


def render_pattern(scene: PatternScene, rng: Generator) -> Bytes:
    """Render the scene as RGB pixels, uint8 [SIZE, SIZE, 3]."""
    cover = _cover(scene.figure, rng.uniform(*_PERIOD[scene.width]), rng)[..., None]
    canvas = background(1, rng)
    canvas[0] = _tint(scene.ground, rng) * (1 - cover) + _tint(scene.colour, rng) * cover
    if scene.frame:
        inner = np.zeros((SIZE, SIZE, 1))
        inner[_FRAME:-_FRAME, _FRAME:-_FRAME] = 1
        canvas[0] = canvas[0] * inner + _tint(scene.frame, rng) * (1 - inner)
    frame: Bytes = to_pixels(canvas, rng.uniform(4, 12), rng)[0]
    return frame


def write_pattern(path: Path, scene: PatternScene, rng: Generator) -> None:
    """Write the scene as a PNG file."""
    from PIL import Image

    Image.fromarray(render_pattern(scene, rng)).save(path)
