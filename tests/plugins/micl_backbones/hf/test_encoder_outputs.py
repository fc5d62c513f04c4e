"""What encoders make of media is kept and put back, and nothing changes by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import MODALITIES, build
from torch import Tensor

from micl_backbones.hf.backbone import HF, SEEN
from micl_backbones.hf.encoder_outputs import KNOWN
from micl_cli.api import Example, Sound
from micl_cli.testing.tasks import toy_examples, toy_media
from micl_cli.training.feature_cache import Features

BUILT = [name for name in sorted(MODALITIES) if not name.endswith("_full")]


def uneven_media(example: Example, options: Mapping[str, Any]) -> Any:
    """Toy media of which no two have the same size: sounds that end between two frames, narrower pictures."""
    medium, number = toy_media(example, options), int(example.id.rpartition("/")[2])
    if isinstance(medium, Sound):
        return Sound(medium.samples[: len(medium.samples) - 3100 * number], medium.rate)
    return medium[..., : medium.shape[-2] - 14 * number, :]


def loaded(folder: Path, cache: Features | None = None) -> HF:
    made = HF(str(folder))
    made.read, made.cache = uneven_media, cache
    made.add_adapter("main", seed=1)
    made.activate("main")
    return made


def examples_for(made: HF) -> list[Example]:
    return toy_examples(sorted(made.modalities))


def told(made: HF, examples: list[Example]) -> dict[str, Any]:
    """All that a forward pass can tell."""
    with torch.no_grad():
        logits, _ = made.answer_logits(made.batch(examples))
    return {
        "logits": logits,
        "choose": made.choose(examples, ["red", "blue sky"]),
        "features": made.features(examples),
        "answers": made.generate(examples, max_new_tokens=4),
        "beams": made.generate(examples, max_new_tokens=3, num_beams=2),
    }


def plainly(made: HF, examples: list[Example]) -> Tensor:
    """The logits of the model's own passes, its encoders called on the whole batch."""
    found = []
    with torch.no_grad():
        for _, inputs, labels in made.batch(examples).inputs["parts"]:
            tensors = {name: value for name, value in inputs.items() if name != SEEN}
            found.append(made.model(**tensors, use_cache=False).logits[:, :-1][labels[:, 1:] != -100])
    return torch.cat(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_kept_features_change_nothing(name: str, tmp_path: Path) -> None:
    folder = build(name, tmp_path / name)
    without = loaded(folder)
    examples = examples_for(without)
    wanted = told(without, examples)
    torch.testing.assert_close(wanted["logits"], plainly(without, examples), atol=2e-4, rtol=2e-4)
    for _ in range(2):  # filled by one process, read by the next
        cache = Features(tmp_path / "features")
        found = told(loaded(folder, cache), examples)
        cache.flush()
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert torch.equal(found[key], value) if isinstance(value, Tensor) else found[key] == value, key
    assert bool(list((tmp_path / "features").rglob("*.safetensors"))) == (without.encoders.kind in KNOWN)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_omni"])
def test_encoders_run_once_a_medium(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = loaded(build(name, tmp_path / name), Features(tmp_path / "features"))
    examples, encoded = examples_for(made), []
    encode = made._encode

    def noted(examples: list[Example], *, medium: Any) -> Tensor:
        encoded.extend(e.id for e in examples)
        return encode(examples, medium=medium)

    monkeypatch.setattr(made, "_encode", noted)
    told(made, examples)
    assert sorted(encoded) == sorted({e.id for e in examples if e.modality})
    with made.encoders.recording() as found:
        made.loss(made.batch(examples)).backward()
        made.generate(examples, max_new_tokens=2)
    assert not found


def test_nothing_is_kept_of_an_encoder_that_learns(tmp_path: Path) -> None:
    made = loaded(build("llava", tmp_path / "llava"), Features(tmp_path / "features"))
    made.model.model.vision_tower.requires_grad_(True)
    made.loss(made.batch(examples_for(made))).backward()
    assert any(weight.grad is not None for weight in made.model.model.vision_tower.parameters())
    assert made.cache is not None
    made.cache.flush()
    assert not list((tmp_path / "features").rglob("*.safetensors"))


def test_other_weights_are_other_features(tmp_path: Path) -> None:
    folder = build("llava", tmp_path / "model")
    before = HF(str(folder))
    with torch.no_grad():
        next(before.model.model.vision_tower.parameters()).add_(1)
    before.model.save_pretrained(folder)
    assert HF(str(folder))._known_as != before._known_as


def test_each_medium_is_read_once_a_batch(tmp_path: Path) -> None:
    """Of one that is augmented, a second reading would be another picture, perhaps of another size."""
    made, read = loaded(build("qwen2_vl", tmp_path / "model")), list[str]()

    def reader(example: Example, options: Mapping[str, Any]) -> Any:
        read.append(example.id)
        medium = toy_media(example, options)
        return medium.repeat(len(read), axis=-2)  # wider each time

    made.read = reader
    examples = [e for e in examples_for(made) if e.modality == "image"]
    made.loss(made.batch(examples)).backward()
    assert read == [e.id for e in examples]


def test_other_settings_are_other_features(tmp_path: Path) -> None:
    folder = build("qwen2_vl", tmp_path / "model")
    assert len({HF(str(folder), frames=frames)._known_as for frames in (2, 4)}) == 2
