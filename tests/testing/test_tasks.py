"""Toy tasks are like real ones, but for their media."""

from __future__ import annotations

import numpy as np
import pytest

from micl_cli.api import Example, Media, Sound
from micl_cli.testing import toy_examples, toy_media, toy_task, toy_tasks


def test_tasks_bring_a_new_type_and_then_a_new_modality() -> None:
    assert [(task.short, task.modalities, task.type) for task in toy_tasks()] == [
        ("img_cap", frozenset({"image"}), "captioning"),
        ("img_qa", frozenset({"image"}), "qa"),
        ("aud_qa", frozenset({"audio"}), "qa"),
    ]


@pytest.mark.parametrize(
    "task", [*toy_tasks(), toy_task("video", "captioning"), toy_task("points", "choice")], ids=lambda task: task.short
)
def test_splits_are_as_counted_and_share_no_medium(task) -> None:  # type: ignore[no-untyped-def]
    splits = {split: task.examples(split) for split in ("train", "val", "test")}
    assert {split: len(examples) for split, examples in splits.items()} == task.counts
    examples = [example for split in splits.values() for example in split]
    assert (
        len({example.media_key for example in examples}) == len({example.id for example in examples}) == len(examples)
    )
    assert all(example.task == task.name and example.references for example in examples)
    assert task.answers == () or {e.target for e in examples} <= set(task.answers)


def test_choices_are_each_example_s_own() -> None:
    task = toy_task("image", "choice")
    assert (task.answers, task.metric) == ((), "accuracy")
    examples = task.examples("train")
    assert {example.choices for example in examples} == {("red", "blue", "green"), ("box", "ring", "star")}
    assert all(example.target in example.choices for example in examples)


def test_examples_survive_json() -> None:
    for example in (*toy_task("image", "captioning").examples("train"), *toy_task("image", "choice").examples("val")):
        assert Example.from_json(example.as_json()) == example


def test_examples_of_unlike_length_with_and_without_a_medium() -> None:
    examples = toy_examples(["image"])
    assert {example.modalities for example in examples} == {frozenset({"image"}), frozenset()}
    assert len({len(example.target) for example in examples}) > 2


def medium_of(modality: str) -> Media:
    return toy_task(modality, "qa").examples("train")[0].media[0]


def test_made_up_media_have_the_canonical_form_and_are_always_the_same() -> None:
    image, sound, video = (toy_media(medium_of(modality), {}) for modality in ("image", "audio", "video"))
    assert (image.dtype, image.ndim) == (np.uint8, 3)
    assert isinstance(sound, Sound)
    assert np.abs(sound.samples).max() <= 1
    assert (video.dtype, video.ndim) == (np.uint8, 4)
    np.testing.assert_array_equal(toy_media(medium_of("image"), {}), image)


def test_media_of_a_new_modality_are_vectors() -> None:
    points = toy_media(medium_of("points"), {})
    assert (points.dtype, points.shape) == (np.float32, (16,))
