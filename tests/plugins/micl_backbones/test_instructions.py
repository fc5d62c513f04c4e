"""The general instructions are about no task: a method that distils on them learns nothing of a scene."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from micl_backbones.instructions import general_instructions, read_instructions
from micl_cli.api import PlanError

CUES = re.compile(r"\b(image|picture|photo|video|clip|audio)\b| sound:|describe the", re.IGNORECASE)
COLOURS = {"red", "green", "blue", "yellow", "white", "purple", "orange", "black", "grey"}
SHAPES = {"circle", "square", "triangle", "star", "cross", "ring", "box", "bell", "knock", "hiss", "buzz"}


def test_they_are_a_few_hundred_different_short_texts() -> None:
    texts = general_instructions()
    assert 200 <= len(texts) == len(set(texts))
    assert all(20 <= len(text) <= 400 for text in texts)
    assert all(text.count("\n") == 1 for text in texts), "an instruction and its answer"
    assert len({text.split()[0] for text in texts}) > 30


def test_they_show_no_scene_of_a_task() -> None:
    for text in general_instructions():
        words = set(re.findall(r"\w+", text.lower()))
        assert not CUES.search(text), text
        assert not (words & COLOURS and words & SHAPES), text


def test_they_are_shipped_with_the_package() -> None:
    assert (files("micl_backbones") / "presets" / "instructions.jsonl").is_file()


@pytest.mark.parametrize("content", ["", "no json\n", '{"word": "x"}\n', '{"text": 3}\n'])
def test_a_file_without_texts_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "texts.jsonl").write_text(content)
    with pytest.raises(PlanError, match=r"texts\.jsonl cannot be read") as refused:
        read_instructions(tmp_path / "texts.jsonl")
    assert '{"text": "..."}' in refused.value.hint
