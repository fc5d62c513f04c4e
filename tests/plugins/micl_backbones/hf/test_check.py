"""What a checkpoint cannot take is reported before anything is learnt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from checkpoints import END
from helpers import ready, resources

from micl_backbones.hf.backbone import HF
from micl_cli.api import Example, MediaError, PlanError
from micl_cli.testing import toy_media, toy_task

ONE_IMAGE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% set shown = namespace(images=0) %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{% set shown.images = shown.images + 1 %}"
    "{% if shown.images == 1 %}<image>\n{% endif %}{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}" + END + "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that has a place for the first image only."""


@pytest.fixture
def one_image(folders: Any, tmp_path: Path) -> HF:
    folder = shutil.copytree(folders("llava"), tmp_path / "one")
    (folder / "chat_template.jinja").write_text(ONE_IMAGE)
    return ready(HF(str(folder), resources=resources()))


def test_more_media_than_the_template_has_places_for(one_image: HF) -> None:
    first, second = (example.media[0] for example in toy_task("image", "qa").examples("train")[:2])
    single = Example("s", (first, "which?"), ("red",))
    one_image.check([single, Example("t", ("which?",), ("red",))])
    pair = Example("pair", (first, second, "which?"), ("red",), task="own/pairs")
    with pytest.raises(PlanError, match=r"example pair of own/pairs \(image \+ image \+ text\)") as caught:
        one_image.check([single, pair])
    assert "2 media of modality image" in str(caught.value)
    assert "--backbone" in caught.value.hint


def test_what_a_processor_refuses_is_told_with_its_reason(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ready(HF(str(folders("llava")), resources=resources()))
    examples = toy_task("image", "qa").examples("train")[:1]
    made.check(examples)

    def refuse(*given: Any, **named: Any) -> Any:
        raise ValueError("too\nlarge")

    monkeypatch.setattr(made.chat, "encoded", refuse)
    with pytest.raises(PlanError, match="processor fails: ValueError: too large"):
        made.check(examples)


def test_media_that_cannot_be_read_keep_their_message(folders: Any) -> None:
    made = ready(HF(str(folders("llava")), resources=resources()))

    def broken(medium: Any, options: Any) -> Any:
        raise MediaError("a.png is no image", "Replace it.")

    made.read = broken
    with pytest.raises(MediaError, match=r"a\.png is no image"):
        made.check(toy_task("image", "qa").examples("train")[:1])
    made.read = toy_media
    made.check(toy_task("image", "qa").examples("train")[:1])
