"""Attention in float32 between layers in bfloat16: masks, gradients, and where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from checkpoints import build
from helpers import ready, resources
from languages import write_language
from transformers import AutoModelForCausalLM

from micl_backbones.attention import CPU_ATTENTION
from micl_backbones.hf.backbone import HF
from micl_backbones.weights import quantize
from micl_backbones.weights.quantize import storage
from micl_cli.testing import toy_examples


def hidden(model: Any, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The last states of two rows and the gradient of the first embeddings."""
    drawn, weight = torch.randn(2, 2, 12, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    embeds = drawn.to(model.dtype).requires_grad_()
    states = model.model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).last_hidden_state
    gradient = torch.autograd.grad((weight * states).sum(), embeds)[0]
    return states.float(), gradient.float()


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_attention(masked: bool, tmp_path: Path) -> None:
    write_language(tmp_path)
    mask = torch.tensor([[0] * 5 + [1] * 7, [1] * 12]) if masked else None
    usual = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation=CPU_ATTENTION)
    seen = torch.ones(2, 12, dtype=torch.bool) if mask is None else mask.bool()
    for one, other in zip(hidden(usual, mask), hidden(ours, mask), strict=True):
        torch.testing.assert_close(one[seen], other[seen], atol=1e-5, rtol=1e-4)
    rounded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16, attn_implementation=CPU_ATTENTION)
    for one, other in zip(hidden(usual, mask), hidden(rounded, mask), strict=True):
        assert torch.nn.functional.cosine_similarity(one[seen].flatten(), other[seen].flatten(), dim=0) > 0.99


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16, None])
def test_a_cpu_computes_in_bf16_what_it_can_and_what_is_stored_so(
    stored: Any, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "_has_native_bf16", lambda: native)
    rounds = native and stored in (torch.bfloat16, torch.float16)
    how = storage("none", "auto", stored=stored)
    assert how["dtype"] == (torch.bfloat16 if rounds else torch.float32)
    assert storage("none", "bf16", stored=stored)["dtype"] == torch.bfloat16
    assert storage("none", "fp32", stored=stored) == {"dtype": torch.float32}


def test_a_gpu_that_is_not_used_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    Accelerator(cpu=True)
    assert not quantize.on_gpu()
    assert storage("none", "auto", stored=torch.float32)["dtype"] == torch.float32


@pytest.mark.parametrize(("name", "others"), [("llava", set()), ("gemma4", {"eager"})])
def test_only_what_attends_by_torchs_kernel_attends_in_float32(name: str, others: set[str], tmp_path: Path) -> None:
    """Gemma's sound encoder, which allows no other, keeps its own."""
    for dtype, kernel in (("bf16", CPU_ATTENTION), ("fp32", "sdpa")):
        made = ready(HF(str(build(name, tmp_path / name)), resources=resources(), dtype=dtype))
        configs = [module.config for module in made.model.modules() if hasattr(module, "config")]
        assert {config._attn_implementation for config in configs} == {kernel, *others}
        assert torch.isfinite(made.loss(made.batch(toy_examples(sorted(made.modalities)))))
