"""The composed backbone, from small random parts: the contract, and what is its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from helpers import disturb, ready, resources
from languages import write_language
from transformers import GenerationConfig, Lfm2Config, LlamaConfig, MistralConfig, PreTrainedConfig

from micl_backbones.composed.backbone import Composed
from micl_backbones.composed.encoders.conv import ConvImage, ConvSound
from micl_backbones.instructions import general_instructions
from micl_cli.api import Backbone, Example, PlanError, combine, options_of
from micl_cli.testing import BackboneContract, toy_examples, toy_media, toy_task


@pytest.fixture
def backbone(preset: Path) -> Composed:
    return ready(Composed(str(preset), resources=resources()), scale=0.0)


@pytest.fixture
def standardised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small encoders ask for standardisation."""
    for family in (ConvImage, ConvSound):
        monkeypatch.setattr(family, "standardize", True)


def behind(text: str, example: Example) -> Example:
    """Return the example with a text before its content."""
    return replace(example, content=(text, *example.content))


def count(backbone: Composed) -> int:
    return sum(weight.numel() for weight in backbone.module.parameters())


class TestComposed(BackboneContract):
    learning_rate = 2e-2

    @pytest.fixture(autouse=True)
    def _from(self, preset: Path) -> None:
        self.preset = preset

    def make(self) -> Backbone:
        return Composed(str(self.preset), resources=resources())


class TestComposedWithDropout(TestComposed):
    def make(self) -> Backbone:
        return Composed(str(self.preset), resources=resources(), lora_rank=2, lora_dropout=0.1)


class TestComposedOfStandardisedEncoders(TestComposed):
    """Encoders whose tokens are standardised before connectors read them."""

    @pytest.fixture(autouse=True)
    def _standardised(self, standardised: None) -> None:
        """See there."""

    def make(self) -> Backbone:
        made = super().make()
        made.read = toy_media
        made.calibrate(toy_examples(["image", "audio"]))
        return made


class TestComposedOfWindows(TestComposed):
    """A language model each of whose layers sees few positions: sequences cannot share a row."""

    language: ClassVar[tuple[type[PreTrainedConfig], dict[str, Any]]] = (MistralConfig, {"sliding_window": 16})

    @pytest.fixture(autouse=True)
    def _from(self, preset: Path, tmp_path: Path) -> None:
        self.preset = shutil.copytree(preset.parent, tmp_path / "preset") / preset.name
        kind, changed = self.language
        write_language(self.preset.parent / "language", kind, **changed)


class TestComposedOfEagerAttention(TestComposedOfWindows):
    """A language model whose attention adds masks instead of keeping to them."""

    language = (LlamaConfig, {})

    @pytest.fixture(autouse=True)
    def _eager(self, _from: None) -> None:
        path = self.preset.parent / "language" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "attn_implementation": "eager"}))


class TestComposedOfStates(TestComposedOfWindows):
    """A language model with a layer that keeps a running state."""

    language = (Lfm2Config, {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False})

    @pytest.fixture(autouse=True)
    def _targets(self, _from: None) -> None:
        self.preset.write_text(self.preset.read_text().replace('"down_proj"', '"w2"'))


# Parts


def test_takes_the_modalities_of_its_preset(backbone: Composed) -> None:
    assert backbone.modalities == {"image", "audio"}


def test_options_default_to_the_preset_s(preset: Path) -> None:
    assert set(options_of(Composed)) == {"lora_rank", "lora_alpha", "lora_dropout", "quantize", "dtype"}
    assert (
        Composed(str(preset), resources=resources()).lora_rank,
        Composed(str(preset), resources=resources(), lora_rank=2).lora_rank,
    ) == (4, 2)


def test_a_scale_of_zero_is_not_the_preset_s(preset: Path) -> None:
    assert Composed(str(preset), resources=resources(), lora_alpha=0.0).default_spec().options["alpha"] == 0.0


def test_a_teacher_costs_an_adapter_and_no_second_base(backbone: Composed) -> None:
    adapter = sum(weight.numel() for weight in backbone.adapters.parameters("main").values())
    before = count(backbone)
    backbone.adapters.copy("main", "teacher")
    assert count(backbone) == before + adapter
    backbone.adapters.remove("teacher")
    assert count(backbone) == before


@pytest.mark.parametrize("name", ["", "a.b", "../up", "a b"])
def test_an_adapter_s_name_must_do_as_a_file_name(backbone: Composed, name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        backbone.adapters.add(name)


def test_an_empty_prompt_has_features_too(backbone: Composed) -> None:
    assert backbone.features([Example("a")]).isfinite().all()


def test_a_context_read_once_for_many_is_as_good_as_read_for_each(backbone: Composed) -> None:
    seen, choices = toy_examples(["image"])[:2], ["A", "B", "a red bird"]
    posed = [behind("A: birds\nB: trains\n", example) for example in seen]
    together = backbone.score_choices(posed, choices)
    mixed = backbone.score_choices([*posed, behind("A: cars\n", seen[0])], choices)
    torch.testing.assert_close(together, mixed[:2], atol=1e-5, rtol=1e-4)
    plain = backbone.score_choices(seen, choices)
    assert not torch.allclose(together, plain, atol=1e-5), "the context says something"


def test_each_is_read_behind_its_own_context(backbone: Composed) -> None:
    backbone.adapters.add("other", seed=2)
    for seed, name in enumerate(("main", "other")):
        disturb(backbone, name, seed=seed, scale=0.3)
    seen, said = toy_examples(["image"])[0], Example("text", ("say it",), ("yes",))
    posed = [behind(text, e) for e in (seen, said) for text in ("A: birds\n", "B: trains\n", "A: birds\n")]
    names, alone = ["main", "main", "other"] * 2, []
    for name, example in zip(names, posed, strict=True):
        with backbone.adapters.using(name):
            alone += backbone.generate([example], max_new_tokens=8)
    with backbone.adapters.using(combine(names)):
        assert backbone.generate(posed, max_new_tokens=8) == alone
    assert len({*alone}) > 3, "contexts and adapters matter"
    with backbone.adapters.using("main"):
        assert backbone.generate(posed[:2], max_new_tokens=8) == alone[:2]
        assert backbone.generate(posed[3:5], max_new_tokens=8) == alone[3:5]


def test_answers_are_the_model_s_own_whatever_its_generation_config_says(preset: Path, tmp_path: Path) -> None:
    other = shutil.copytree(preset.parent, tmp_path / "other") / preset.name
    GenerationConfig(repetition_penalty=5.0).save_pretrained(other.parent / "language")
    asked = [Example("text", ("say a word",))]
    for beams in (1, 2):
        plain, penal = (
            Composed(str(path), resources=resources()).generate(asked, num_beams=beams) for path in (preset, other)
        )
        assert plain == penal


def test_training_settings_come_with_the_preset(preset: Path) -> None:
    assert Composed.defaults(str(preset), resources()) == {"batch_size": 2, "learning_rate": 1e-3}
    assert "batch_size" in Composed.defaults("", resources())


def test_encoders_never_train(backbone: Composed) -> None:
    backbone.module.train()
    assert not any(part.training for part in backbone.modules.encoders.modules())
    assert backbone.modules.language.training
    assert not any(weight.requires_grad for weight in backbone.modules.encoders.parameters())


def test_checkpointed_gradients_are_the_same(backbone: Composed) -> None:
    batch = backbone.batch(toy_examples(["image", "audio"]))
    backbone.module.train()
    gradients = []
    for again in (False, True):
        if again:
            backbone.enable_gradient_checkpointing()
        backbone.module.zero_grad()
        backbone.loss(batch).backward()
        gradients.append([weight.grad.clone() for weight in backbone.adapters.trainable({"image", "audio"}).values()])  # type: ignore[union-attr]
    assert all(torch.allclose(one, two, atol=1e-6) for one, two in zip(*gradients, strict=True))


def test_the_base_alone_takes_no_medium(backbone: Composed) -> None:
    batch = backbone.batch(toy_task("image", "qa").examples("train")[:1])
    with pytest.raises(ValueError, match="has a connector for image"), backbone.adapters.using(None):
        backbone.answer_logits(batch)


def test_any_text_can_be_taught_and_is_spelt_back(backbone: Composed) -> None:
    text = "Ünïcode 猫 🐈 \t and\nlines"
    _, labels = backbone.answer_logits(backbone.batch([Example("1", ("say",), (text,))]))
    assert backbone.tokenizer.decode(labels[:-1]) == text
    assert int(labels[-1]) == backbone.tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("right", "wrong", "part"),
    [
        ("channels = 16", "channels = 32", "audio encoder"),
        ('"audio.safetensors"', '"absent.safetensors"', "audio encoder"),
        ('path = "language"', 'path = "absent"', "language model"),
    ],
)
def test_parts_that_cannot_be_loaded_are_named(preset: Path, tmp_path: Path, right: str, wrong: str, part: str) -> None:
    other = shutil.copytree(preset.parent, tmp_path / "other") / "small.toml"
    other.write_text(other.read_text().replace(right, wrong))
    with pytest.raises(PlanError, match=f"the preset's {part} cannot be loaded"):
        Composed(str(other), resources=resources())


# Standardisation by the media of the first task


@torch.no_grad()
def test_tokens_are_standardised_by_the_media_of_the_first_task(standardised: None, preset: Path) -> None:
    made = ready(Composed(str(preset), resources=resources()))
    sounds = toy_task("audio", "qa").examples("train")
    before = made.answer_logits(made.batch(sounds))[0]
    made.calibrate(sounds)
    media = [medium for example in sounds for medium in example.media]
    heard = made.modules.standardizers.standardized("audio", made.encode("audio", media))
    assert heard.mean((0, 1)).abs().max() < 1e-4
    assert not torch.equal(made.answer_logits(made.batch(sounds))[0], before)
    state = made.adapters.state("main")
    made.calibrate(toy_task("audio", "captioning").examples("train"))
    assert all(torch.equal(made.adapters.state("main")[key], weight) for key, weight in state.items())
    assert [name for name, _ in made.modules.standardizers.unfitted()] == ["image"], "there was no picture yet"


@torch.no_grad()
def test_standardisation_comes_back_with_an_adapter(standardised: None, preset: Path) -> None:
    made, again = (ready(Composed(str(preset), resources=resources())) for _ in range(2))
    sounds = toy_task("audio", "qa").examples("train")
    made.calibrate(sounds)
    again.adapters.load("main", made.adapters.state("main"))
    assert torch.equal(again.answer_logits(again.batch(sounds))[0], made.answer_logits(made.batch(sounds))[0])
    met = again.adapters.state("main")
    again.adapters.load("main", {key: weight + 1 for key, weight in met.items()})
    kept = {key: w for key, w in again.adapters.state("main").items() if key.startswith("standard.audio")}
    assert len(kept) == 2
    assert all(torch.equal(weight, met[key]) for key, weight in kept.items()), "it serves other adapters too"


def test_other_encoders_are_not_standardised(backbone: Composed) -> None:
    backbone.calibrate(toy_examples(["image", "audio"]))
    assert not len(backbone.modules.standardizers)
    assert set(backbone.adapters.state("main")) == set(backbone.adapters.parameters("main"))


# Questions and texts


@pytest.mark.parametrize(
    ("written", "pair"),
    [
        ("what is red? the box", ("what is red?", "the box")),
        ("  what is red?  box \n", ("what is red?", "box")),
        ("a red box", None),
        ("what is red?", None),
        ("what? why? because", None),
        ("? box", None),
        ("", None),
    ],
)
def test_what_it_writes_is_a_question_or_nothing(
    backbone: Composed, monkeypatch: pytest.MonkeyPatch, written: str, pair: tuple[str, str] | None
) -> None:
    asked: list[tuple[str, Any]] = []

    def generate(examples: Sequence[Example], **settings: Any) -> list[str]:
        asked.extend((example.prompt, backbone.adapters.active) for example in examples)
        return [written] * len(examples)

    monkeypatch.setattr(backbone, "generate", generate)
    assert backbone.write_questions(["a {red} box", "a ring"]) == [pair, pair]
    assert asked == [("Ask about: a {red} box", None), ("Ask about: a ring", None)]
    assert backbone.adapters.active == "main"


def test_instructions_come_from_the_preset_s_file(backbone: Composed, preset: Path, tmp_path: Path) -> None:
    assert backbone.instructions() == ("Say yes. yes", "Name a colour. red")
    other = shutil.copytree(preset.parent, tmp_path / "other") / "small.toml"
    other.write_text(other.read_text().replace('instructions = "instructions.jsonl"\n', ""))
    assert Composed(str(other), resources=resources()).instructions() == general_instructions()
