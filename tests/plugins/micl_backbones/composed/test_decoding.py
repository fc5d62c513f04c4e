"""Decoding, against transformers' own search and against each prompt alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MistralConfig,
    Qwen3Config,
    Qwen3NextConfig,
)

from micl_backbones.composed.causal import is_fully_causal
from micl_backbones.composed.decoding import PromptBatch, greedy, log_likelihoods
from micl_backbones.composed.packing import plan_packing

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LENGTHS = [9, 3, 7, 4, 8, 5]
SHARED = [(0, 0), (1, 0), (0, 6), (3, 0), (0, 6), (3, 2)]
END = 2


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(7)
    config = LlamaConfig(**SIZES, num_key_value_heads=1, vocab_size=12, initializer_range=0.5)
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def embeds() -> Tensor:
    torch.manual_seed(1)
    drawn = torch.randn(len(LENGTHS), max(LENGTHS), 16)
    for i, (leader, skip) in enumerate(SHARED):
        drawn[i, :skip] = drawn[leader, :skip]
    return drawn


def made(embeds: Tensor, *, packed: bool, context: tuple[int, ...] = ()) -> PromptBatch:
    packing = plan_packing(LENGTHS, SHARED) if packed else None
    assert packed == (packing is not None)
    return PromptBatch(embeds, torch.tensor(LENGTHS), packing, context)


def alone(model: Any, embeds: Tensor, context: tuple[int, ...]) -> list[Tensor]:
    """Each prompt [1, length, size] without padding, its context before it."""
    before = model.get_input_embeddings()(torch.tensor([context], dtype=torch.long))
    return [torch.cat([before, embeds[i : i + 1, :length]], dim=1) for i, length in enumerate(LENGTHS)]


@torch.no_grad()
@pytest.mark.parametrize("context", [(), (5, 1, 7)], ids=["plain", "behind a context"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_answers_are_those_of_transformers_for_each_alone(
    model: Any, embeds: Tensor, packed: bool, context: tuple[int, ...]
) -> None:
    found = greedy(model, made(embeds, packed=packed, context=context), end=END, limit=12)
    search = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": END, "pad_token_id": 0}
    wanted = []
    for prompt in alone(model, embeds, context):
        ids = model.generate(inputs_embeds=prompt, attention_mask=torch.ones(prompt.shape[:2]), **search)[0]
        wanted.append([token for token in ids.tolist() if token != END])
    assert found == wanted
    lengths = {len(answer) for answer in wanted}
    assert len(lengths) > 2 and min(lengths) < 12, "all end together: nothing was tested"


@torch.no_grad()
def test_no_more_tokens_than_are_wanted(model: Any, embeds: Tensor) -> None:
    long = greedy(model, made(embeds, packed=True), end=END, limit=12)
    assert greedy(model, made(embeds, packed=True), end=END, limit=2) == [answer[:2] for answer in long]


@torch.no_grad()
def test_finished_answers_leave_the_batch(model: Any, embeds: Tensor) -> None:
    steps: list[Tensor] = []
    prompts = PromptBatch(embeds, torch.tensor(LENGTHS), plan_packing(LENGTHS, SHARED), follow=steps.append)
    answers = greedy(model, prompts, end=END, limit=12)
    assert len(steps) == min(max(map(len, answers)), 11)
    for step, rows in enumerate(steps, 1):
        assert rows.tolist() == [i for i, answer in enumerate(answers) if len(answer) >= step]


@torch.no_grad()
@pytest.mark.parametrize("ends", [[[4, 2]], [[4, 2], [5, 6, 7, 2], [2], [5, 2]], [[2], [4]]])
@pytest.mark.parametrize("context", [(), (5, 1, 7)], ids=["plain", "behind a context"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_likelihoods_are_those_of_each_continuation_alone(
    model: Any, embeds: Tensor, packed: bool, context: tuple[int, ...], ends: list[list[int]]
) -> None:
    found = log_likelihoods(model, made(embeds, packed=packed, context=context), [ends] * len(LENGTHS))
    wanted = torch.zeros(len(LENGTHS), len(ends))
    for i, prompt in enumerate(alone(model, embeds, context)):
        for k, end in enumerate(ends):
            ids = torch.tensor([end])
            whole = torch.cat([prompt, model.get_input_embeddings()(ids)], dim=1)
            each = torch.log_softmax(model(inputs_embeds=whole).logits, -1)[0, prompt.shape[1] - 1 : -1]
            wanted[i, k] = each.gather(1, ids.T).sum()
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_each_prompt_has_continuations_of_its_own(model: Any, embeds: Tensor, packed: bool) -> None:
    own = [[[4, 2]], [[5, 2], [6, 7, 8, 2]], [[2], [3, 2], [4, 5, 2]], [[9, 2]], [[2], [3, 3, 2]], [[7, 2], [8, 2]]]
    together = log_likelihoods(model, made(embeds, packed=packed), own)
    for i, ends in enumerate(own):
        alone = log_likelihoods(
            model, PromptBatch(embeds[i : i + 1, : LENGTHS[i]], torch.tensor(LENGTHS[i : i + 1]), None), [ends]
        )
        torch.testing.assert_close(together[i, : len(ends)], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        (LlamaConfig(), True),
        (Qwen3Config(), True),
        (MistralConfig(sliding_window=None), True),
        (MistralConfig(sliding_window=4096), False),
        (Gemma3TextConfig(), False),
        (Qwen3NextConfig(), False),
        (MambaConfig(), False),
    ],
    ids=lambda value: type(value).__name__.removesuffix("Config"),
)
def test_only_plain_attention_lets_sequences_share_a_row(config: Any, plain: bool) -> None:
    assert is_fully_causal(config) == plain
