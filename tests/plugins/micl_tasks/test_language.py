from __future__ import annotations

import re

import pytest
from numpy.random import default_rng

from micl_tasks.mini.lamps import LAMP, Lamp, LampScene
from micl_tasks.mini.language import AUDIO, FIELDS, IMAGE, REFERENCES, VIDEO, Field, draw_question, references
from micl_tasks.mini.melodies import MELODY, MelodyScene, Phrase
from micl_tasks.mini.patterns import PATTERN, PatternScene
from micl_tasks.mini.scenes import ImageScene, Scene, SoundScene, Thing, Tone, VideoScene

EVERY = {**FIELDS, "patterns": PATTERN, "melodies": MELODY, "lamps": LAMP}
WORLDS = pytest.mark.parametrize("field", EVERY.values(), ids=EVERY)
PICTURE = ImageScene((Thing("red", "circle", "top left"), Thing("blue", "square", "bottom left")))
SOUND = SoundScene((Tone("low", "beep"), Tone("high", "buzz")))
PATTERNED = PatternScene("fine", "red", "dots", "white", "blue")
TUNE = MelodyScene((Phrase("two", "rising", "harp"), Phrase("four", "level", "horn")))
LAMPS = LampScene((Lamp("red", "blinks", "top left"), Lamp("blue", "grows", "bottom right")))
CLIP = VideoScene(Thing("red", "circle"), "left", "quickly", Thing("blue", "square"))


def asked(field: Field, scene: Scene, type: str) -> set[tuple[str, str]]:
    """Every question of a type that can be asked of the scene."""
    rng = default_rng(0)
    return {(q.text, q.answer) for _ in range(80) if (q := field.questions[type](scene, rng))}


@pytest.mark.parametrize(
    ("field", "scene", "caption"),
    [
        (IMAGE, PICTURE, "a red circle at the top left and a blue square at the bottom left"),
        (AUDIO, SOUND, "a low beep, then a high buzz"),
        (VIDEO, CLIP, "a red circle moves left quickly while a blue square stands still"),
        (PATTERN, PATTERNED, "fine red dots on a white ground in a blue frame"),
        (MELODY, TUNE, "two rising harp notes, then four level horn notes"),
        (LAMP, LAMPS, "a red lamp blinks at the top left and a blue lamp grows at the bottom right"),
    ],
)
def test_captions_read_as_english(field: Field, scene: Scene, caption: str) -> None:
    assert field.captions(scene)[0] == caption


@WORLDS
def test_every_caption_names_everything_in_the_scene(field: Field) -> None:
    rng = default_rng(1)
    for _ in range(200):
        scene = field.draw(rng)
        parts = set(re.findall(r"\w+", scene.words)) - {"still"}
        for caption in field.captions(scene):
            assert parts <= set(re.findall(r"\w+", caption)), (scene.words, caption)


@WORLDS
def test_references_are_different_captions(field: Field) -> None:
    rng = default_rng(2)
    for _ in range(50):
        found = references(field, field.draw(rng), rng)
        assert len(set(found)) == REFERENCES


@WORLDS
def test_answers_come_from_the_closed_set(field: Field) -> None:
    rng = default_rng(3)
    found = {draw_question(field, "train", rng)[1].answer for _ in range(1500)}
    assert found == set(field.answers)


@pytest.mark.parametrize(
    ("field", "scene", "type", "expected"),
    [
        (IMAGE, PICTURE, "colour", {("what colour is the circle?", "red"), ("what colour is the square?", "blue")}),
        (IMAGE, PICTURE, "shape", {("which shape is red?", "circle"), ("which shape is blue?", "square")}),
        (IMAGE, PICTURE, "count", {("how many shapes are there?", "two")}),
        (
            IMAGE,
            PICTURE,
            "relation",
            {("which shape is above the square?", "circle"), ("which shape is below the circle?", "square")},
        ),
        (AUDIO, SOUND, "first", {("which sound comes first?", "beep")}),
        (AUDIO, SOUND, "last", {("which sound comes last?", "buzz")}),
        (
            AUDIO,
            SOUND,
            "neighbour",
            {("which sound comes after the beep?", "buzz"), ("which sound comes before the buzz?", "beep")},
        ),
        (AUDIO, SOUND, "pitch", {("what pitch is the beep?", "low"), ("what pitch is the buzz?", "high")}),
        (VIDEO, CLIP, "moving_shape", {("which shape moves?", "circle")}),
        (VIDEO, CLIP, "speed", {("how fast does the circle move?", "quickly")}),
        (VIDEO, CLIP, "still_colour", {("what colour is the still shape?", "blue")}),
        (PATTERN, PATTERNED, "figure", {("which pattern is red?", "dots")}),
        (PATTERN, PATTERNED, "colour", {("what colour are the dots?", "red")}),
        (PATTERN, PATTERNED, "frame", {("what colour is the frame?", "blue")}),
        (MELODY, TUNE, "last", {("which instrument plays last?", "horn")}),
        (MELODY, TUNE, "alone", {("does one instrument play alone?", "no")}),
        (LAMP, LAMPS, "change", {("what does the red lamp do?", "blinks"), ("what does the blue lamp do?", "grows")}),
    ],
)
def test_questions_have_their_answers(field: Field, scene: Scene, type: str, expected: set[tuple[str, str]]) -> None:
    assert asked(field, scene, type) == expected


def test_no_question_has_two_answers() -> None:
    twice = ImageScene((Thing("red", "circle", "top left"), Thing("blue", "circle", "top right")))
    assert asked(IMAGE, twice, "colour") == set()
    assert asked(IMAGE, twice, "relation") == set()


def test_an_existence_question_is_answered_by_the_scene() -> None:
    for question, answer in asked(AUDIO, SOUND, "exists"):
        assert answer == ("yes" if question in ("is there a beep?", "is there a buzz?") else "no")


@WORLDS
def test_a_question_never_contradicts_itself(field: Field) -> None:
    rng = default_rng(4)
    for _ in range(100):
        scene = field.draw(rng)
        seen: dict[str, str] = {}
        for type in field.questions:
            for question, answer in asked(field, scene, type):
                assert seen.setdefault(question, answer) == answer, scene.words
