"""Encoder outputs are cached and given to the model, and nothing changes by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import MODALITIES, build
from helpers import ready, resources
from torch import Tensor

from micl_backbones.hf.backbone import FEATURES, HF, SOFT
from micl_backbones.hf.encoder_outputs import SUPPORTED
from micl_cli.api import Example, Media, Sound
from micl_cli.testing.tasks import toy_examples, toy_media
from micl_cli.training.feature_cache import Features

BUILT = [name for name in sorted(MODALITIES) if not name.endswith("_full")]


def uneven_media(medium: Media, options: Mapping[str, Any]) -> Any:
    """Return toy media of different sizes: sounds that end between two frames, narrower pictures."""
    read, number = toy_media(medium, options), int(medium.digest, 16) % 2
    if isinstance(read, Sound):
        return Sound(read.samples[: len(read.samples) - 3100 * number], read.rate)
    return read[..., : read.shape[-2] - 14 * number, :]


def loaded(folder: Path, cache: Features | None = None) -> HF:
    made = ready(HF(str(folder), resources=resources()), scale=0.0)
    made.read, made.cache = uneven_media, cache
    return made


def examples_for(made: HF) -> list[Example]:
    return toy_examples(sorted(made.modalities))


def outputs(made: HF, examples: list[Example]) -> dict[str, Any]:
    """Return all that a model makes of examples."""
    with torch.no_grad():
        logits, _ = made.answer_logits(made.batch(examples))
    return {
        "logits": logits,
        "choices": made.score_choices(examples, ["red", "blue sky"]),
        "features": made.features(examples),
        "answers": made.generate(examples, max_new_tokens=4),
        "beams": made.generate(examples, max_new_tokens=3, num_beams=2),
    }


def plainly(made: HF, examples: list[Example]) -> Tensor:
    """Return the logits of the model's own passes, its encoders called on the whole batch."""
    found = []
    with torch.no_grad():
        for _, inputs, labels in made.batch(examples).inputs["passes"]:
            tensors = {name: value for name, value in inputs.items() if name not in (FEATURES, SOFT)}
            found.append(made.model(**tensors, use_cache=False).logits[:, :-1][labels[:, 1:] != -100])
    return torch.cat(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_cached_features_change_nothing(name: str, tmp_path: Path) -> None:
    folder = build(name, tmp_path / name)
    without = loaded(folder)
    examples = examples_for(without)
    wanted = outputs(without, examples)
    torch.testing.assert_close(wanted["logits"], plainly(without, examples), atol=2e-4, rtol=2e-4)
    for _ in range(2):  # filled by one process, read by the next
        cache = Features(tmp_path / "features")
        found = outputs(loaded(folder, cache), examples)
        cache.flush()
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert torch.equal(found[key], value) if isinstance(value, Tensor) else found[key] == value, key
    assert bool(list((tmp_path / "features").rglob("*.safetensors"))) == (without.encoders.model_type in SUPPORTED)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_omni"])
def test_encoders_run_once_a_medium(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = loaded(build(name, tmp_path / name), Features(tmp_path / "features"))
    examples, encoded = examples_for(made), []
    encode = made._encode

    def noted(media: list[Media], *, read: Any) -> Tensor:
        encoded.extend(medium.digest for medium in media)
        return encode(media, read=read)

    monkeypatch.setattr(made, "_encode", noted)
    outputs(made, examples)
    assert sorted(encoded) == sorted({medium.digest for e in examples for medium in e.media})
    with made.encoders.recording() as found:
        made.loss(made.batch(examples)).backward()
        made.generate(examples, max_new_tokens=2)
    assert not found


def test_nothing_is_cached_of_an_encoder_that_learns(tmp_path: Path) -> None:
    made = loaded(build("llava", tmp_path / "llava"), Features(tmp_path / "features"))
    made.model.model.vision_tower.requires_grad_(True)
    made.loss(made.batch(examples_for(made))).backward()
    assert any(weight.grad is not None for weight in made.model.model.vision_tower.parameters())
    assert made.cache is not None
    made.cache.flush()
    assert not list((tmp_path / "features").rglob("*.safetensors"))


def test_other_weights_are_other_features(tmp_path: Path) -> None:
    folder = build("llava", tmp_path / "model")
    before = HF(str(folder), resources=resources())
    with torch.no_grad():
        next(before.model.model.vision_tower.parameters()).add_(1)
    before.model.save_pretrained(folder)
    assert HF(str(folder), resources=resources())._fingerprint != before._fingerprint


def test_each_medium_is_read_once_a_batch(tmp_path: Path) -> None:
    """Of one that is augmented, a second reading would be another picture, perhaps of another size."""
    made, read = loaded(build("qwen2_vl", tmp_path / "model")), list[str]()

    def reader(medium: Media, options: Mapping[str, Any]) -> Any:
        read.append(medium.digest)
        return toy_media(medium, options).repeat(len(read), axis=-2)  # wider each time

    made.read = reader
    examples = [e for e in examples_for(made) if e.modalities == {"image"}]
    made.loss(made.batch(examples)).backward()
    assert read == [medium.digest for e in examples for medium in e.media]


def test_other_settings_are_other_features(tmp_path: Path) -> None:
    folder = build("qwen2_vl", tmp_path / "model")
    assert len({HF(str(folder), resources=resources(), frames=frames)._fingerprint for frames in (2, 4)}) == 2
