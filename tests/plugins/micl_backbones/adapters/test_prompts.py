"""Soft prompts: embeddings before the content, chosen by example."""

from __future__ import annotations

import pytest
import torch
from helpers import KINDS, Make, ready
from torch import Tensor

from micl_backbones.language import LanguageBackbone
from micl_cli.api import AdapterSpec, Example, Mixture, Selection, combine
from micl_cli.testing import toy_examples

BOTH = pytest.mark.parametrize("kind", KINDS)
CHOICES = ["yes", "no, it is not"]


def prompted(backbone: LanguageBackbone) -> LanguageBackbone:
    """Give a backbone LoRA with connectors, and soft prompts of different lengths."""
    ready(backbone, "main", scale=0.05)
    for seed, (name, tokens) in enumerate({"one": 1, "two": 2, "five": 5}.items()):
        backbone.adapters.add(name, AdapterSpec("prompts", {"tokens": tokens}, connectors=False), seed=seed)
    return backbone


def shown(backbone: LanguageBackbone) -> list[Example]:
    examples = toy_examples(sorted(backbone.modalities))
    return [*examples, *(e.with_prompt("what else is there?", "nothing") for e in examples if e.media)]


def own(row: int) -> list[str]:
    """Return what reads an example: no prompt, one of them, or two behind one another."""
    return [["main"], ["main", "two"], ["main", "five"], ["main", "two", "one"]][row % 4]


def outputs(backbone: LanguageBackbone, examples: list[Example]) -> tuple[Tensor, list[str], list[str], Tensor]:
    logits, _ = backbone.answer_logits(backbone.batch(examples))
    answers = [backbone.generate(examples, max_new_tokens=6, num_beams=beams) for beams in (1, 2)]
    return logits, *answers, backbone.score_choices(examples, CHOICES)  # type: ignore[return-value]


@BOTH
def test_each_example_is_read_behind_its_own_prompts(kind: str, make: Make) -> None:
    made = prompted(make(kind))
    examples = shown(made)
    with made.adapters.using(combine([own(row) for row in range(len(examples))])):
        logits, answers, beams, scores = outputs(made, examples)
    alone = []
    for row, example in enumerate(examples):
        with made.adapters.using(own(row)):
            alone.append(outputs(made, [example]))
    torch.testing.assert_close(logits, torch.cat([each[0] for each in alone]), atol=1e-5, rtol=1e-5)
    assert (answers, beams) == tuple([text for each in alone for text in each[k]] for k in (1, 2))
    torch.testing.assert_close(scores, torch.cat([each[3] for each in alone]), atol=5e-5, rtol=1e-4)


@BOTH
def test_prompts_change_what_is_read_and_follow_the_selection(kind: str, make: Make) -> None:
    made = prompted(make(kind))
    example = shown(made)[0]
    selections: list[Selection] = ["main", ["main", "one"], ["main", "two"], ["main", "one", "two"]]
    selections += [["main", "two", "one"], {"main": 1.0, "two": 0.5}]
    batch = made.batch([example])  # made while no prompt acts
    found = []
    for selection in selections:
        with made.adapters.using(selection):
            found.append(made.answer_logits(batch)[0])
            assert torch.equal(found[-1], made.answer_logits(made.batch([example]))[0])
    assert not any(torch.equal(one, other) for i, one in enumerate(found) for other in found[:i])


@torch.no_grad()
def test_prompts_that_equal_words_do_what_the_words_do(make: Make) -> None:
    made, text = prompted(make("composed")), "abcde"
    ids = made.tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[attr-defined]
    made.adapters.parameters("five")["prompt"].copy_(made.embeddings[ids])
    said = Example("1", ("say a word",), ("yes",))
    with made.adapters.using(["main", "five"]):
        soft = made.answer_logits(made.batch([said]))[0]
    expected = made.answer_logits(made.batch([Example("1", (text, "say a word"), ("yes",))]))[0]
    torch.testing.assert_close(soft, expected, atol=1e-5, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("checkpointed", [False, True])
def test_prompts_learn(kind: str, checkpointed: bool, make: Make) -> None:
    """Each prompt gets gradients by the examples that it reads, as by each of them alone."""
    made = prompted(make(kind))
    examples = shown(made)
    weights = [made.adapters.parameters(name)["prompt"] for name in ("one", "two", "five")]
    if checkpointed:
        made.enable_gradient_checkpointing()
        made.module.train()
    chosen = combine([own(row) for row in range(len(examples))])
    made.adapters.activate(chosen, learning=("one", "two", "five"))
    batch = made.batch(examples)
    together = torch.autograd.grad(made.loss(batch), weights)
    assert all(gradient.any() for gradient in together)
    alone = [torch.zeros_like(weight) for weight in weights]
    for row, example in enumerate(examples):
        if own(row) == ["main"]:
            continue  # nothing learns from it
        made.adapters.activate(own(row), learning=("one", "two", "five"))
        single = made.batch([example])
        _, labels = made.answer_logits(single)
        share = len(labels) / len(batch.example_index)
        gradients = torch.autograd.grad(made.loss(single) * share, weights, allow_unused=True)
        for total, gradient in zip(alone, gradients, strict=True):
            total += 0 if gradient is None else gradient
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@BOTH
def test_weights_of_prompts_get_gradients(kind: str, make: Make) -> None:
    made = prompted(make(kind))
    examples = shown(made)
    weights = torch.full((len(examples), 2), 0.5, requires_grad=True)
    made.adapters.activate(["main", Mixture(["two", "five"], weights)], learning=())
    made.loss(made.batch(examples)).backward()
    assert weights.grad is not None and (weights.grad != 0).all()


@BOTH
def test_features_do_not_know_prompts(kind: str, make: Make) -> None:
    made = prompted(make(kind))
    examples = shown(made)
    before = made.features(examples)
    with made.adapters.using(["main", "five"]):
        assert torch.equal(made.features(examples), before)


def test_prompts_begin_as_words_and_are_a_group_of_their_own(make: Make) -> None:
    made = prompted(make("composed"))
    prompt = made.adapters.parameters("five")["prompt"]
    assert all((made.embeddings == row).all(1).any() for row in prompt)
    assert list(made.adapters.parameters("five")) == ["prompt"]
    assert made.adapters.group("five/prompt") == "prompt"
