"""Penalties in decoding: on the tokens of the answer alone, and the same in a batch as for each example alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ready, resources

from micl_backbones.hf.backbone import HF
from micl_cli.testing.tasks import toy_examples


@pytest.fixture
def llava(folders: Any) -> HF:
    folder: Path = folders("llava")
    return ready(HF(str(folder), resources=resources()))


def first_logits(backbone: HF, example: Any, answer: list[int]) -> torch.Tensor:
    """The logits after the prompt of an example and the tokens ``answer``."""
    inputs = backbone._inputs([example], backbone.chat.prompts([example]), answers=[answer])
    with torch.no_grad():
        output = backbone._run(backbone.model, inputs, range(1), 1, use_cache=False)
    logits: torch.Tensor = output.logits[0, -1].float()
    return logits


def test_each_token_is_the_best_after_penalties_on_those_of_the_answer(llava: HF) -> None:
    """An independent loop over whole passes without a cache."""
    (example, *_), ids = toy_examples(["image"]), list[int]()
    for _ in range(6):
        scores = first_logits(llava, example, ids)
        for token in set(ids):
            scores[token] = scores[token] / 3.0 if scores[token] > 0 else scores[token] * 3.0
        ids.append(int(scores.argmax()))
        if ids[-1] in llava.chat.ends:
            break
    (answer,) = llava.generate([example], max_new_tokens=6, repetition_penalty=3.0)
    assert [answer] == llava.texts.decode([ids])


@pytest.mark.parametrize("beams", [1, 3])
def test_a_penalised_answer_does_not_depend_on_the_batch(llava: HF, beams: int) -> None:
    examples = toy_examples(["image"])
    search: dict[str, Any] = {"max_new_tokens": 6, "num_beams": beams, "repetition_penalty": 2.0}
    together = llava.generate(examples, **search)
    assert together == [llava.generate([example], **search)[0] for example in examples]
    assert together != llava.generate(examples, max_new_tokens=6, num_beams=beams)
