from __future__ import annotations

from pathlib import Path

import pytest
from numpy.random import default_rng
from PIL import Image, ImageStat

from micl_cli.api import read_toml
from micl_tasks.open import pictures
from micl_tasks.open.pictures import COLOURS, NUMBERS, PLACES, QUESTIONS, SIZE, EmojiFont, EmojiSet

SETS = {split: EmojiSet(split) for split in ("train", "val", "test")}


class Discs(EmojiFont):
    """A font whose glyphs are opaque squares in a colour that no background has."""

    def __init__(self) -> None:
        """Open no file."""

    def _glyph(self, character: str) -> Image.Image:
        return Image.new("RGBA", (136, 136), (0, 255, 255, 255))


def test_each_emoji_has_one_subject_and_one_split() -> None:
    table = read_toml(Path(pictures.__file__).with_name("emoji.toml"))
    listed = [character for row in table.values() for characters in row.values() for character in characters]
    assert len(listed) == len(set(listed))
    assert all(len(character) == 1 for character in listed)
    held = [emoji.character for emoji_set in SETS.values() for emoji in emoji_set.emoji]
    assert sorted(held) == sorted(listed)


def test_every_subject_and_kind_is_in_every_split() -> None:
    for emoji in SETS.values():
        assert emoji.by_subject.keys() == SETS["train"].by_subject.keys()
        assert emoji.by_kind.keys() == SETS["train"].by_kind.keys()


def test_captions_name_what_is_shown_and_the_background() -> None:
    rng = default_rng(1)
    for _ in range(200):
        picture = pictures.draw_captioned(SETS["train"], rng)
        captions = pictures.captions(picture)
        assert len(set(captions)) == 5
        for caption in captions:
            assert picture.background in caption
            places = [caption.index(placed.emoji.subject) for placed in picture.emoji]
            assert places == sorted(places)
        assert len({placed.emoji.subject for placed in picture.emoji}) == len(picture.emoji) <= 2


def test_answers_agree_with_the_picture() -> None:
    rng = default_rng(2)
    for _ in range(200):
        picture = pictures.draw_questioned(SETS["train"], rng)
        at = dict(zip(picture.places, (placed.emoji.kind for placed in picture.emoji), strict=True))
        assert len(set(at.values())) == len(at)  # so that "where is the animal?" has one answer
        kind, place, background, number = (ask(picture, rng) for ask in QUESTIONS.values())
        assert at[kind.text.removeprefix("What is at the ").rstrip("?")] == kind.answer
        assert at[place.answer] == place.text.removeprefix("Where is the ").rstrip("?")
        assert background.answer == picture.background
        assert number.answer == NUMBERS[len(at) - 1]


def test_emoji_are_drawn_where_they_are_said_to_be(tmp_path: Path) -> None:
    rng = default_rng(3)
    for _ in range(20):
        picture = pictures.draw_questioned(SETS["test"], rng)
        Discs().write(tmp_path / "p.png", picture)
        with Image.open(tmp_path / "p.png") as image:
            assert image.size == (SIZE, SIZE)
            half = SIZE // 2
            for number, place in enumerate(PLACES):
                x, y = number % 2 * half, number // 2 * half
                red, green, blue = ImageStat.Stat(image.crop((x + 20, y + 20, x + 60, y + 60))).mean
                shown = (red, green, blue) == pytest.approx((0, 255, 255), abs=1)
                assert shown == (place in picture.places)


def test_backgrounds_keep_their_colour() -> None:
    rng = default_rng(4)
    for _ in range(300):
        picture = pictures.draw_captioned(SETS["val"], rng)
        nearest = min(COLOURS, key=lambda n: sum((a - b) ** 2 for a, b in zip(COLOURS[n], picture.shade, strict=True)))
        assert nearest == picture.background
