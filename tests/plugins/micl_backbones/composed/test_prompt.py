"""The texts around media in the prompts of the composed backbone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from micl_backbones.composed.prompt import write_prompts
from micl_cli.api import Content, Example, Media

IMAGE = Media("image", digest="a")


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
    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        return [list(map(ord, each)) for each in texts]

    (prompt,) = write_prompts([Example("1", content)], [0], {"image": 2}, tokenize, ord("#"))
    assert "".join(map(chr, prompt.ids)) == text
