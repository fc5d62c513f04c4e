"""What ships with the tiny preset: it loads, is small, and knows mini's language."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import encoder
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import micl_backbones
from micl_tasks.mini.language import FIELDS, Field, draw, draw_question
from micl_tasks.mini.scenes import COLOURS, DIRECTIONS, PITCHES, SHAPES, SPEEDS, TIMBRES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TINY = Path(micl_backbones.__file__).parent / "presets" / "tiny"
PRESET: dict[str, Any] = tomllib.loads((TINY / "preset.toml").read_text(encoding="utf-8"))
TOKENIZER = PreTrainedTokenizerFast.from_pretrained(TINY / "language")
ANSWERS = {"image": 0.75, "audio": 0.9, "video": 0.9}
DESCRIPTIONS = {"image": 0.9, "audio": 0.9, "video": 0.8}
QUESTIONS = {"image": 0.6, "audio": 0.85, "video": 0.85}
"""The shares that must be right on held-out scenes: some way below what the weights were seen to reach."""
WORLDS = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(TINY / "language", dtype=torch.float32).eval()


@torch.no_grad()
def complete(model: Any, prompts: list[str]) -> list[str]:
    batch = TOKENIZER(prompts, return_tensors="pt", padding=True, padding_side="left", return_token_type_ids=False)
    out = model.generate(**batch, max_new_tokens=60, do_sample=False)
    return [
        text.strip() for text in TOKENIZER.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    ]


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in TINY.rglob("*") if path.is_file()) < 12e6


@pytest.mark.parametrize("modality", ["image", "audio", "video"])
def test_encoders_load_as_the_preset_describes_them(modality: str) -> None:
    config = dict(PRESET["encoder"][modality])
    weights = load_file(TINY / config.pop("weights"))
    encoder(config.pop("family"), **config).load_state_dict(weights)
    assert all(weight.isfinite().all() for weight in weights.values())


@given(st.text(max_size=60))
def test_any_text_can_be_encoded_and_comes_back(text: str) -> None:
    assert TOKENIZER.backend_tokenizer.decode(TOKENIZER.backend_tokenizer.encode(text).ids) == text


@pytest.mark.parametrize(
    "word", [*COLOURS, *SHAPES, *TIMBRES, *PITCHES, *DIRECTIONS, *SPEEDS, "yes", "no", "none", "two"]
)
def test_words_of_the_world_are_single_tokens(word: str) -> None:
    assert [len(TOKENIZER(text)["input_ids"]) for text in (word, f" {word}")] == [1, 1]


@WORLDS
def test_it_answers_questions_about_scenes_in_words(model: Any, field: Field) -> None:
    rng = default_rng(11)
    asked = [draw_question(field, "test", rng) for _ in range(60)]
    written = complete(model, [f" {field.modality}: {scene.words}\n{question.text}\n" for scene, question in asked])
    assert (
        np.mean([text == question.answer for text, (_, question) in zip(written, asked, strict=True)])
        > ANSWERS[field.modality]
    )


@WORLDS
def test_it_describes_scenes_in_words(model: Any, field: Field) -> None:
    rng = default_rng(12)
    scenes = [draw(field, "test", rng) for _ in range(40)]
    written = complete(model, [f" {field.modality}: {scene.words}\n{field.instruction}\n" for scene in scenes])
    assert (
        np.mean([text in field.captions(scene) for text, scene in zip(written, scenes, strict=True)])
        > DESCRIPTIONS[field.modality]
    )


@WORLDS
def test_it_writes_a_question_and_its_answer_from_a_caption(model: Any, field: Field) -> None:
    rng = default_rng(13)
    scenes = [draw(field, "test", rng) for _ in range(40)]
    template = PRESET["language"]["question_prompt"]
    written = complete(model, [template.format(caption=field.captions(scene)[0]) + "\n" for scene in scenes])
    right = 0
    for text, scene in zip(written, scenes, strict=True):
        found = re.fullmatch(r"([^?]+\?) ([^?]+)", text)
        assert found, text
        known = {tuple(q) for ask in field.questions.values() for _ in range(40) if (q := ask(scene, rng))}
        right += found.groups() in known
    assert right / len(scenes) > QUESTIONS[field.modality]
    assert len({text.partition("?")[0] for text in written}) > 5


@pytest.mark.parametrize("preset", ["tiny", "tiny-plain"])
def test_instructions_are_many_and_hold_no_text_of_a_task(preset: str) -> None:
    lines = (TINY.parent / preset / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert len(texts) >= 200
    assert len(set(texts)) > 0.6 * len(texts)
    rng = default_rng(14)
    for field in FIELDS.values():
        asked = {question.text for _ in range(300) for question in [draw_question(field, "train", rng)[1]]}
        assert not [text for text in texts if field.instruction in text or any(q in text for q in asked)]
