"""Content of all shapes: any number of media in any order between texts, and choices of each example's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import MODALITIES
from helpers import KINDS, Make, ready, resources
from safetensors.torch import load_file
from torch import Tensor

from micl_backbones.hf.backbone import HF
from micl_backbones.language import LanguageBackbone
from micl_cli.api import Example, Media
from micl_cli.testing import toy_media, toy_task
from micl_cli.training.feature_cache import Features

BUILT = [name for name in sorted(MODALITIES) if not name.endswith("_full")]


def media(modality: str, count: int) -> list[Media]:
    return [example.media[0] for example in toy_task(modality, "qa").examples("train")[:count]]


def ordered(modalities: Collection[str]) -> list[str]:
    """Return modalities with images first: tiny encoders hardly tell sounds apart."""
    return sorted(modalities, key=lambda modality: (modality != "image", modality))


def contents(modalities: Collection[str]) -> dict[str, tuple[str | Media, ...]]:
    """Return content of all shapes that modalities allow, by name."""
    first, *others = ordered(modalities)
    one, two, three = media(first, 3)
    found: dict[str, tuple[str | Media, ...]] = {
        "medium first": (one, "which colour is it?"),
        "medium last": ("which colour is this?", one),
        "medium alone": (two,),
        "text alone": ("say a word",),
        "several texts": ("say a word", "or two"),
        "two media": (one, two, "what changed?"),
        "the same medium twice": (one, one, "what changed?"),
        "three media": (one, two, three, "what changed?"),
        "text between media": ("first", one, "and then", two, "what changed?"),
        "media around a text": (two, "became", one),
    }
    for other in others:
        (medium,) = media(other, 1)
        found[f"{first} and {other}"] = (one, medium, "what is it?")
        found[f"{other}, text, {first} twice"] = (medium, "and", one, two, "what is it?")
    return found


def asked(modalities: Collection[str]) -> list[Example]:
    """Return an example of each content, with choices of different number and length."""
    choices = (("yes", "no"), ("a red box", "blue", "green, or so"), ("one", "two", "three", "four and five"))
    return [
        Example(name, content, (choices[row % 3][0],), choices[row % 3])
        for row, (name, content) in enumerate(contents(modalities).items())
    ]


def outputs(made: LanguageBackbone, examples: list[Example]) -> dict[str, Any]:
    """Return all that a backbone makes of examples."""
    with torch.no_grad():
        logits, _ = made.answer_logits(made.batch(examples))
    return {
        "logits": logits,
        "answers": made.generate(examples, max_new_tokens=4),
        "beams": made.generate(examples, max_new_tokens=4, num_beams=2),
        "choices": [row[row.isfinite()] for row in made.score_choices(examples)],
        "features": made.features(examples),
    }


def check_content(made: LanguageBackbone, examples: list[Example], tolerance: float = 1e-4) -> dict[str, Any]:
    """Compare a batch of examples with each of them alone, and return what the batch gave."""
    made.check(examples)
    together = outputs(made, examples)
    alone = [outputs(made, [example]) for example in examples]
    near = {"atol": tolerance, "rtol": tolerance}
    torch.testing.assert_close(together["logits"], torch.cat([each["logits"] for each in alone]), **near)
    torch.testing.assert_close(together["features"], torch.cat([each["features"] for each in alone]), **near)
    assert together["answers"] == [each["answers"][0] for each in alone]
    assert together["beams"] == [each["beams"][0] for each in alone]
    for example, row, each in zip(examples, together["choices"], alone, strict=True):
        assert len(row) == len(example.choices)
        torch.testing.assert_close(row, each["choices"][0], **near)
    torch.autograd.backward(made.loss(made.batch(examples)))
    assert all(weight.grad is not None for weight in made.adapters.trainable(made.modalities).values())
    return together


@torch.no_grad()
def first_logits(made: LanguageBackbone, content: tuple[str | Media, ...]) -> Tensor:
    return made.answer_logits(made.batch([Example("1", content, ("yes",))]))[0][0]


def check_order(made: LanguageBackbone) -> None:
    """Each change of order or number of media, and of the place of a text, is seen."""
    one, two = media(ordered(made.modalities)[0], 2)
    changed = [(one, two, "a"), (two, one, "a"), (one, "a"), (one, "a", two), ("a", one, two), (one, one, "a")]
    found = [first_logits(made, content) for content in changed]
    for i, logits in enumerate(found):
        assert not any(torch.allclose(logits, other, atol=1e-4) for other in found[:i]), changed[i]


def test_composed_reads_content_of_all_shapes(make: Make) -> None:
    made = ready(make("composed"))
    check_content(made, asked(made.modalities))
    check_order(made)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_checkpoints_read_content_of_all_shapes(name: str, folders: Any, tmp_path: Path) -> None:
    made = ready(HF(str(folders(name)), resources=resources(), dtype="fp32"))
    examples = asked(made.modalities)
    together = check_content(made, examples)
    check_order(made)
    for _ in range(2):  # the first fills the cache
        made.cache = Features(tmp_path / "features")
        cached = outputs(made, examples)
        made.cache.flush()
        torch.testing.assert_close(cached["logits"], together["logits"], atol=1e-5, rtol=1e-5)
        assert (cached["answers"], cached["beams"]) == (together["answers"], together["beams"])


class Asked:
    """A feature cache that holds nothing and records what it is asked for."""

    def __init__(self) -> None:
        self.media: list[Media] = []

    def __call__(self, key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], Tensor]) -> Tensor:
        self.media += media
        return torch.stack([compute([medium])[0] for medium in media])


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_asked_for_by_medium(kind: str, make: Make, tmp_path: Path) -> None:
    """What is cached of a medium serves every example that shows it, alone or among others."""
    made = ready(make(kind))
    one, two = media("image", 2)
    examples = [
        Example("a", (one, "what?"), ("yes",)),
        Example("b", (one, "who?"), ("no",)),
        Example("c", (two, "and", one), ("red",)),
    ]
    made.cache = asked_for = Asked()
    made.batch(examples)
    assert {medium.digest for medium in asked_for.media} == {one.digest, two.digest}
    read: list[str] = []

    def reader(medium: Media, options: Mapping[str, Any]) -> Any:
        read.append(medium.digest)
        return toy_media(medium, options)

    plain = made.answer_logits(made.batch(examples))[0]
    made.cache = Features(tmp_path / "features")
    made.batch(examples)
    made.read = reader
    encoded = made.answer_logits(made.batch(examples))[0]
    torch.testing.assert_close(encoded, plain, atol=1e-6, rtol=1e-6)
    if kind == "composed":
        assert read == []  # a processor of transformers reads media for their sizes
    made.cache.flush()
    assert {key for file in (tmp_path / "features").rglob("*.safetensors") for key in load_file(file)} == {
        one.digest,
        two.digest,
    }
