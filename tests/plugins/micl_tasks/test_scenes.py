from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from micl_tasks.mini.lamps import LAMP
from micl_tasks.mini.language import FIELDS, Field, draw
from micl_tasks.mini.melodies import MELODY
from micl_tasks.mini.patterns import PATTERN
from micl_tasks.mini.scenes import (
    PLACES,
    ImageScene,
    SoundScene,
    Thing,
    VideoScene,
    image_scene,
    sound_scene,
    video_scene,
)

EVERY = {**FIELDS, "patterns": PATTERN, "melodies": MELODY, "lamps": LAMP}
WORLDS = pytest.mark.parametrize("field", EVERY.values(), ids=EVERY)


def test_a_scene_in_words_is_compact() -> None:
    scene = ImageScene((Thing("red", "circle", "top left"), Thing("blue", "square", "bottom right")))
    assert scene.words == "red circle top left ; blue square bottom right"


def test_a_clip_in_words_tells_what_moves_and_what_stays() -> None:
    assert (
        VideoScene(Thing("red", "ring"), "up", "slowly", Thing("blue", "star")).words
        == "red ring up slowly ; blue star still"
    )
    assert VideoScene(Thing("red", "ring"), "up", "slowly").words == "red ring up slowly"


@WORLDS
def test_scenes_fall_into_splits_by_about_70_10_20(field: Field) -> None:
    rng = default_rng(0)
    splits = Counter(scene.split for scene in {field.draw(rng) for _ in range(4000)})
    shares = {split: count / splits.total() for split, count in splits.items()}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.04)


@WORLDS
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_drawn_scene_belongs_to_the_split_asked_for(field: Field, split: str) -> None:
    rng = default_rng(1)
    assert {draw(field, split, rng).split for _ in range(50)} == {split}


@WORLDS
def test_the_world_is_large(field: Field) -> None:
    rng = default_rng(2)
    assert len({field.draw(rng).words for _ in range(8000)}) > 900


@given(st.integers(0, 2**32))
def test_a_picture_has_one_thing_a_place_in_reading_order(seed: int) -> None:
    places = [PLACES.index(thing.place) for thing in image_scene(default_rng(seed)).things]
    assert 1 <= len(places) <= 3
    assert places == sorted(set(places))


@given(st.integers(0, 2**32))
def test_a_sound_repeats_no_timbre(seed: int) -> None:
    timbres = [tone.timbre for tone in sound_scene(default_rng(seed)).tones]
    assert 1 <= len(timbres) == len(set(timbres)) <= 3


@given(st.integers(0, 2**32))
def test_what_stays_can_be_told_from_what_moves(seed: int) -> None:
    scene = video_scene(default_rng(seed))
    assert scene.still is None or (scene.still.colour != scene.mover.colour and scene.still.shape != scene.mover.shape)


def test_equal_scenes_are_equal() -> None:
    assert sound_scene(default_rng(3)) == sound_scene(default_rng(3))
    assert isinstance(sound_scene(default_rng(3)), SoundScene)
