"""4 and 8 bit weights: gradients against a dequantised reference, and what is quantised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import build
from helpers import ready, resources

from micl_backbones.composed.named import Tiny
from micl_backbones.hf.backbone import HF
from micl_backbones.language import LanguageBackbone
from micl_backbones.weights.quantize import storage
from micl_cli.api import PlanError
from micl_cli.testing import toy_examples


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("llava", tmp_path_factory.mktemp("llava") / "llava")


def made(kind: str, folder: Path, **options: Any) -> LanguageBackbone:
    backbone = (
        HF(str(folder), resources=resources(), **options) if kind == "hf" else Tiny(resources=resources(), **options)
    )
    return ready(backbone, scale=0.05)


@torch.no_grad()
def dequantise(reference: LanguageBackbone, quantised: LanguageBackbone) -> None:
    """Give ``reference``, in full precision, the weights that ``quantised`` really computes with."""
    from bitsandbytes.functional import dequantize_4bit

    there = dict(reference.language.named_modules())
    for name, layer in quantised.language.named_modules():
        if type(layer).__name__ == "Linear4bit":
            there[name].weight.copy_(dequantize_4bit(layer.weight.data, layer.weight.quant_state))
        elif name in there and not list(layer.children()):
            for key, weight in layer.named_parameters(recurse=False):
                getattr(there[name], key).copy_(weight)


def weight_bytes(model: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def gradients(backbone: LanguageBackbone) -> torch.Tensor:
    """All gradients of LoRA, in a line, of a step that comes after an evaluation."""
    examples = toy_examples(sorted(backbone.modalities))
    backbone.generate(examples, max_new_tokens=2)
    backbone.module.train()
    torch.autograd.backward(backbone.loss(backbone.batch(examples)))
    lora = [w for n, w in backbone.adapters.parameters("main").items() if backbone.adapters.group(n) == "lora"]
    return torch.cat([weight.grad.flatten() for weight in lora if weight.grad is not None])


@pytest.mark.parametrize("kind", ["hf", "composed"])
def test_gradients_after_an_evaluation_are_those_of_the_dequantised_weights(kind: str, llava: Path) -> None:
    quantised = made(kind, llava, quantize="nf4", lora_dropout=0.0)
    reference = made(kind, llava, dtype="fp32", lora_dropout=0.0)
    dequantise(reference, quantised)
    ours, true = gradients(quantised), gradients(reference)
    assert torch.nn.functional.cosine_similarity(ours, true, dim=0) >= 0.99
    assert 0.97 < float(ours.norm() / true.norm()) < 1.03


@pytest.mark.parametrize("kind", ["hf", "composed"])
@pytest.mark.parametrize("quantize", ["nf4", "int8"])
def test_the_language_model_alone_is_quantised(kind: str, quantize: str, llava: Path) -> None:
    plain, few = made(kind, llava), made(kind, llava, quantize=quantize)
    small = {n for n, layer in few.module.named_modules() if type(layer).__name__ in ("Linear4bit", "Linear8bitLt")}
    assert small
    before, after = (sum(weight_bytes(b.module.get_submodule(n)) for n in small) for b in (plain, few))
    lora = sum(
        w.numel() * w.element_size()
        for n, w in few.adapters.parameters("main").items()
        if few.adapters.group(n) == "lora"
    )
    assert after - lora < 0.3 * (before - lora)
    assert not [n for n in small if "vision" in n or "projector" in n or "encoders" in n or n.endswith("lm_head")]


@pytest.mark.parametrize("quantize", ["nf4", "int8"])
def test_gradient_checkpointing_changes_no_gradient(quantize: str, llava: Path) -> None:
    plain, checkpointed = (made("hf", llava, quantize=quantize, lora_dropout=0.0) for _ in range(2))
    checkpointed.enable_gradient_checkpointing()
    ours, theirs = gradients(checkpointed), gradients(plain)
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.999


def test_adapters_are_never_merged_into_few_bits(llava: Path) -> None:
    backbone = made("hf", llava, quantize="nf4")
    before = {n: w.clone() for n, w in backbone.module.named_parameters() if w.dtype == torch.uint8}
    backbone.generate(toy_examples(["image"]), max_new_tokens=2)
    backbone.adapters.copy("main", "teacher")
    backbone.adapters.activate("teacher")
    assert before
    assert all(torch.equal(w, before[n]) for n, w in backbone.module.named_parameters() if n in before)


def test_other_words_are_refused() -> None:
    with pytest.raises(PlanError, match="no quantisation 'int3'") as caught:
        storage("int3", "auto")  # type: ignore[arg-type]
    assert "nf4" in caught.value.hint


@pytest.mark.parametrize("kind", ["hf", "composed"])
def test_the_vocabulary_projection_reads_whole_states(kind: str, llava: Path) -> None:
    """Of slices torch would copy the projection for each row."""
    backbone, whole = made(kind, llava, dtype="bf16"), []
    head = backbone.language.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, given: whole.append(given[0].is_contiguous()))
    examples = toy_examples(sorted(backbone.modalities))
    backbone.generate(examples, max_new_tokens=2)
    backbone.score_choices(examples, ["red", "blue sky"])
    backbone.loss(backbone.batch(examples))
    assert len(whole) > 3 and all(whole)
