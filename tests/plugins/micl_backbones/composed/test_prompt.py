"""The texts around media in the prompts of the composed backbone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from helpers import resources

from micl_backbones.composed.backbone import Composed
from micl_backbones.composed.prompt import Frame, chat_frame, write_prompts
from micl_cli.api import Content, Example, Media, PlanError

IMAGE = Media("image", digest="a")
CHAT = "{{ bos_token }}{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{{ eos_token }}{% endfor %}<reply>"


def tokenize(texts: Sequence[str]) -> list[list[int]]:
    return [list(map(ord, each)) for each in texts]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ((IMAGE, "which one?"), " image: ##\nwhich one?\n"),
        ((IMAGE, " which one?"), " image: ## which one?\n"),
        (("look: ", IMAGE), "look:  image: ##\n"),
        (("which one?",), "which one?\n"),
    ],
)
def test_a_text_after_a_medium_starts_on_a_new_line_unless_it_begins_with_a_blank(content: Content, text: str) -> None:
    (prompt,) = write_prompts([Example("1", content)], [0], {"image": 2}, tokenize, ord("#"))
    assert "".join(map(chr, prompt.ids)) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ((IMAGE, "which one?"), "<user> image: ##\nwhich one?</user>"),
        (("look: ", IMAGE), "<user>look:  image: ##</user>"),
        ((), "<user>"),
    ],
)
def test_a_template_surrounds_the_content_but_not_a_text_alone(content: Content, text: str) -> None:
    frame = Frame(list(map(ord, "<user>")), list(map(ord, "</user>")))
    (prompt,) = write_prompts([Example("1", content)], [0], {"image": 2}, tokenize, ord("#"), frame)
    assert "".join(map(chr, prompt.ids)) == text
    assert prompt.begin == len("<user>")


@pytest.fixture
def without_template(preset: Path, tmp_path: Path) -> Path:
    """A preset that asks for the chat template of its language model, which has none."""
    folder = shutil.copytree(preset.parent, tmp_path / "preset")
    path = folder / preset.name
    path.write_text(path.read_text().replace("[language]", '[language]\ntemplate = "chat"'))
    return path


@pytest.fixture
def chatting(without_template: Path) -> Path:
    """A preset that uses the chat template of its language model."""
    config = without_template.parent / "language" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": CHAT}))
    return without_template


def test_a_preset_can_use_its_language_models_chat_template(chatting: Path) -> None:
    backbone = Composed(str(chatting), resources=resources())
    examples = [Example(str(i), (text,), answer="a") for i, text in enumerate(("red", "a longer one"))]
    batch = backbone.batch(examples)
    ids = batch.inputs["composed"].ids.tolist()
    tokenizer = backbone.tokenizer
    expected = ["<s><user>red</s><reply>a</s>", "<s><user>a longer one</s><reply>a</s>"]
    assert [tokenizer.decode(row).removesuffix("<pad>" * row.count(0)) for row in ids] == expected
    assert [tokenizer.decode(row[row != -100]) for row in batch.labels] == ["a</s>"] * 2


def test_the_template_is_also_used_where_prompts_begin_with_the_same_text(chatting: Path) -> None:
    backbone = Composed(str(chatting), resources=resources())
    apart = [Example(str(i), (f"Is it {word}?",)) for i, word in enumerate(("red", "blue"))]
    shared = [Example(e.id, ("Is it ", e.prompt.removeprefix("Is it "))) for e in apart]
    choices = ["yes", "no"]
    torch.testing.assert_close(backbone.score_choices(shared, choices), backbone.score_choices(apart, choices))
    assert backbone.generate(shared) == backbone.generate(apart)


def test_a_language_model_without_a_chat_template_is_refused(without_template: Path) -> None:
    with pytest.raises(PlanError, match="no chat template") as refused:
        Composed(str(without_template), resources=resources())
    assert 'template = "plain"' in refused.value.hint


def test_a_chat_template_that_omits_the_content_is_refused(chatting: Path) -> None:
    tokenizer = Composed(str(chatting), resources=resources()).tokenizer
    tokenizer.chat_template = "hello"
    with pytest.raises(ValueError, match="exactly once"):
        chat_frame(tokenizer)
