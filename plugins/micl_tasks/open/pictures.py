"""Pictures of emoji on coloured backgrounds."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from numpy.random import Generator

from micl_cli.api import read_toml
from micl_tasks.open.language import Question, a, among
from micl_tasks.open.splits import of_split, split_identities

if TYPE_CHECKING:
    from PIL import Image

FONT = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
SIZE = 160
"""Width and height of a picture in pixels."""
_FONT_SIZE = 109
"""The only size of the bitmaps in the font."""

COLOURS = {
    "white": (250, 250, 250),
    "black": (25, 25, 25),
    "red": (205, 45, 45),
    "orange": (240, 140, 40),
    "yellow": (245, 225, 90),
    "green": (70, 160, 75),
    "blue": (60, 105, 200),
    "purple": (140, 70, 170),
    "pink": (245, 165, 195),
    "grey": (140, 140, 145),
}
PLACES = ("top left", "top right", "bottom left", "bottom right")
NUMBERS = ("one", "two", "three", "four")


class Emoji(NamedTuple):
    """One emoji, its subject ("dog"), and the subject's kind ("animal")."""

    character: str
    subject: str
    kind: str


class Placed(NamedTuple):
    """An emoji in a picture: its centre and its size in pixels."""

    emoji: Emoji
    x: int
    y: int
    size: int


class Picture(NamedTuple):
    """One or more emoji on a background. ``places`` names where each is, or is empty for one in the middle."""

    background: str
    shade: tuple[int, int, int]
    emoji: tuple[Placed, ...]
    places: tuple[str, ...] = ()


class EmojiSet:
    """The emoji of a split, by subject and by kind."""

    def __init__(self, split: str) -> None:
        table = read_toml(Path(__file__).with_name("emoji.toml"))
        subjects = {(kind, subject): characters for kind, row in table.items() for subject, characters in row.items()}
        splits = split_identities({f"{k}/{s}": [[c] for c in dict.fromkeys(cs)] for (k, s), cs in subjects.items()})
        seen: dict[str, Emoji] = {}
        for (kind, subject), characters in subjects.items():
            for character in of_split(splits, split, characters):
                seen.setdefault(character, Emoji(character, subject, kind))
        self.emoji = tuple(seen.values())

    @cached_property
    def by_subject(self) -> dict[str, tuple[Emoji, ...]]:
        """The emoji of each subject."""
        return {s: tuple(e for e in self.emoji if e.subject == s) for s in dict.fromkeys(e.subject for e in self.emoji)}

    @cached_property
    def by_kind(self) -> dict[str, tuple[Emoji, ...]]:
        """The emoji of each kind."""
        return {k: tuple(e for e in self.emoji if e.kind == k) for k in dict.fromkeys(e.kind for e in self.emoji)}


def _background(rng: Generator) -> tuple[str, tuple[int, int, int]]:
    name = among(rng, tuple(COLOURS))
    red, green, blue = (min(255, max(0, part + int(rng.integers(-12, 13)))) for part in COLOURS[name])
    return name, (red, green, blue)


def draw_captioned(emoji: EmojiSet, rng: Generator) -> Picture:
    """Draw a picture of one emoji, or of two with different subjects beside each other."""
    two = rng.random() < 0.5
    subjects = rng.permutation(len(emoji.by_subject))[: 1 + two]
    shown = [among(rng, tuple(emoji.by_subject.values())[i]) for i in subjects]
    if not two:
        one = Placed(shown[0], _near(rng, SIZE // 2, 12), _near(rng, SIZE // 2, 12), int(rng.integers(84, 117)))
        return Picture(*_background(rng), (one,))
    xs = (SIZE // 4, SIZE - SIZE // 4)
    pair = tuple(
        Placed(e, _near(rng, x, 4), _near(rng, SIZE // 2, 20), int(rng.integers(62, 75)))
        for e, x in zip(shown, xs, strict=True)
    )
    return Picture(*_background(rng), pair, ("left", "right"))


def draw_questioned(emoji: EmojiSet, rng: Generator) -> Picture:
    """Draw a picture of one to four emoji of different kinds, in its corners."""
    count = int(rng.integers(1, 5))
    kinds, corners = tuple(emoji.by_kind.values()), sorted(rng.permutation(4)[:count])
    shown = [among(rng, kinds[i]) for i in rng.permutation(len(kinds))[:count]]
    centres = [(SIZE // 4 + (c % 2) * SIZE // 2, SIZE // 4 + (c // 2) * SIZE // 2) for c in corners]
    placed = tuple(
        Placed(e, _near(rng, x, 4), _near(rng, y, 4), int(rng.integers(60, 73)))
        for e, (x, y) in zip(shown, centres, strict=True)
    )
    return Picture(*_background(rng), placed, tuple(PLACES[c] for c in corners))


def _near(rng: Generator, place: int, by: int) -> int:
    return place + int(rng.integers(-by, by + 1))


def captions(picture: Picture) -> tuple[str, ...]:
    """Return five captions; each names the subjects, their places, and the background colour."""
    colour, named = picture.background, [a(placed.emoji.subject) for placed in picture.emoji]
    if len(named) == 1:
        (one,) = named
        return (
            f"{one} on {a(colour)} background",
            f"{a(colour)} picture of {one}",
            f"the picture shows {one} in front of {colour}",
            f"there is {one}, and the background is {colour}",
            f"{one} with {colour} all around it",
        )
    left, right = named
    return (
        f"{left} on the left and {right} on the right of {a(colour)} background",
        f"{left} beside {right} on {a(colour)} background",
        f"the picture shows {left} to the left of {right} in front of {colour}",
        f"there is {left} next to {right}, and the background is {colour}",
        f"on {colour}, {left} is on the left and {right} is on the right",
    )


def ask_kind(picture: Picture, rng: Generator) -> Question:
    """Ask for the kind of the emoji at a place."""
    i = int(rng.integers(len(picture.emoji)))
    return Question(f"What is at the {picture.places[i]}?", picture.emoji[i].emoji.kind)


def ask_place(picture: Picture, rng: Generator) -> Question:
    """Ask for the place of an emoji."""
    i = int(rng.integers(len(picture.emoji)))
    return Question(f"Where is the {picture.emoji[i].emoji.kind}?", picture.places[i])


def ask_background(picture: Picture, rng: Generator) -> Question:
    """Ask for the colour of the background."""
    return Question("What colour is the background?", picture.background)


def ask_number(picture: Picture, rng: Generator) -> Question:
    """Ask for the number of emoji."""
    return Question("How many things are shown?", NUMBERS[len(picture.emoji) - 1])


QUESTIONS = {"kind": ask_kind, "place": ask_place, "background": ask_background, "number": ask_number}


class EmojiFont:
    """The bitmaps of the emoji font."""

    def __init__(self, path: Path) -> None:
        from PIL import ImageFont

        self._font = ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)

    def write(self, path: Path, picture: Picture) -> None:
        """Render the picture to a PNG file."""
        from PIL import Image

        canvas = Image.new("RGB", (SIZE, SIZE), picture.shade)
        for emoji, x, y, size in picture.emoji:
            glyph = self._glyph(emoji.character).resize((size, size), Image.Resampling.BILINEAR)
            canvas.paste(glyph, (x - size // 2, y - size // 2), glyph)
        canvas.save(path)

    def _glyph(self, character: str) -> Image.Image:
        from PIL import Image, ImageDraw

        glyph = Image.new("RGBA", (136, 136), (0, 0, 0, 0))
        ImageDraw.Draw(glyph).text((68, 68), character, font=self._font, embedded_color=True, anchor="mm")
        return glyph
