"""Animated people and animals of Widelands, from their sprite sheets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from micl_cli.api import PlanError
from micl_tasks.open.splits import connected, of_split, split_identities

if TYPE_CHECKING:
    from PIL import Image

WORKERS, ANIMALS, TERRAINS = "tribes/workers", "world/critters", "world/terrains"
TRIBES = {
    "amazons": "Amazon",
    "atlanteans": "Atlantean",
    "barbarians": "barbarian",
    "empire": "Roman",
    "frisians": "Frisian",
}
ANIMAL = "animal"
_BEASTS = frozenset({"horse", "donkey", "ox", "tapir", "reindeer"})
"""Animals that carry loads for a tribe."""
_LEFT_OUT = frozenset({"soldier", "ferry"})
"""Soldiers, which differ by rank, and ferries, which are boats, are excluded."""
DIRECTIONS = ("e", "ne", "nw", "w", "sw", "se")
_WITHOUT_LOAD = frozenset({"walkload"})
"""Excluded animations: the game adds the load to them, and without it they equal walking."""
_SCALES = ("_4", "_2", "_1")
_BLOCK = re.compile(r"(\w+)\s*=\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_NUMBER = re.compile(r"\b(frames|columns|rows|fps)\s*=\s*(\d+)")


@dataclass(frozen=True)
class Animation:
    """A sprite sheet: its file, and the number of frames, columns, rows and frames per second."""

    path: Path
    frames: int
    columns: int
    rows: int
    fps: int

    def images(self) -> list[Image.Image]:
        """Return the frames in order, cropped to the common bounding box."""
        from PIL import Image

        with Image.open(self.path) as opened:
            sheet = opened.convert("RGBA")
        width, height = sheet.width // self.columns, sheet.height // self.rows
        places = [(i % self.columns * width, i // self.columns * height) for i in range(self.frames)]
        frames = [sheet.crop((x, y, x + width, y + height)) for x, y in places]
        boxes = np.array([box for frame in frames if (box := frame.getchannel("A").getbbox())])
        if not len(boxes):
            raise PlanError(f"{self.path} shows nothing", "Delete the folder of the package and fetch it again.")
        box = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
        return [frame.crop(box) for frame in frames]


@dataclass(frozen=True)
class Figure:
    """A person or an animal: its identity, its group (a tribe, or "animal"), and its animations.

    Animations of walking are named by action and direction: ("walk", "ne"). Others have no direction: ("idle", "").
    """

    identity: str
    group: str
    animations: tuple[tuple[tuple[str, str], Animation], ...]

    @cached_property
    def by_action(self) -> dict[tuple[str, str], Animation]:
        """The animations by action and direction."""
        return dict(self.animations)

    @property
    def digests(self) -> set[bytes]:
        """The digests of the sprite sheets."""
        return {sha256(animation.path.read_bytes()).digest() for _, animation in self.animations}


def figures(data: Path) -> tuple[Figure, ...]:
    """Return the figures in the game's data that have animations. Raises PlanError."""
    found = [figure for folder in _folders(data) if (figure := _figure(folder)).animations]
    if not found:
        raise PlanError(f"{data} has no animations", "Delete the folder of the package and fetch it again.")
    return tuple(found)


def figures_of(split: str, everyone: tuple[Figure, ...]) -> dict[str, tuple[Figure, ...]]:
    """Return the figures of a split by group. Those that share a sprite sheet belong to the same split."""
    group = {figure.identity: figure.group for figure in everyone}
    groups: dict[str, list[frozenset[str]]] = {name: [] for name in sorted(set(group.values()))}
    for together in connected({figure.identity: figure.digests for figure in everyone}):
        groups[group[min(together)]].append(together)
    splits = split_identities(groups)
    chosen = set(of_split(splits, split, group))
    return {name: tuple(f for f in everyone if f.group == name and f.identity in chosen) for name in groups}


def _folders(data: Path) -> Iterator[Path]:
    for pattern in (f"{WORKERS}/*/*/init.lua", f"{ANIMALS}/*/init.lua"):
        yield from (path.parent for path in sorted(data.glob(pattern)) if path.parent.name not in _LEFT_OUT)


def _figure(folder: Path) -> Figure:
    animal = folder.name in _BEASTS or folder.parent.name not in TRIBES
    group = ANIMAL if animal else TRIBES[folder.parent.name]
    text = re.sub(r"--.*", "", (folder / "init.lua").read_text(encoding="utf-8"))
    return Figure(f"{folder.parent.name}/{folder.name}", group, tuple(_animations(folder, text)))


def _animations(folder: Path, text: str) -> Iterator[tuple[tuple[str, str], Animation]]:
    """Yield the animations that ``init.lua`` lists as sprite sheets, if their files exist."""
    listed = text.partition("spritesheets")[2]
    for name, block in _BLOCK.findall(listed.partition("{")[2]):
        sizes = {key: int(value) for key, value in _NUMBER.findall(block)}
        if name in _WITHOUT_LOAD:
            continue
        if {"frames", "columns", "rows"} <= sizes.keys() and "basename" not in block.replace(
            f'basename = "{name}"', ""
        ):
            for direction in DIRECTIONS if re.search(r"directional\s*=\s*true", block) else ("",):
                if path := _sheet(folder, f"{name}_{direction}" if direction else name):
                    yield (name, direction), Animation(path, **{"fps": 10, **sizes})


def _sheet(folder: Path, name: str) -> Path | None:
    """Return the file of a sprite sheet at its largest scale."""
    return next((path for scale in (*_SCALES, "") if (path := folder / f"{name}{scale}.png").is_file()), None)


def texture(data: Path, terrain: str) -> NDArray[np.uint8]:
    """Return the pixels [height, width, 3] of a terrain, the first of its images. Raises PlanError."""
    from PIL import Image

    images = sorted((data / TERRAINS / terrain).glob("*.png"))
    if not images:
        raise PlanError(f"{data} has no terrain {terrain}", "Delete the folder of the package and fetch it again.")
    with Image.open(images[0]) as opened:
        return np.asarray(opened.convert("RGB"))
