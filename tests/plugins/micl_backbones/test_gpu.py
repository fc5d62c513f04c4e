"""On a GPU everything works as on a CPU. `make test-gpu` runs these where there is one."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import build
from helpers import ready, resources

from micl_backbones.composed.named import Tiny
from micl_backbones.hf.backbone import HF
from micl_backbones.language import LanguageBackbone
from micl_cli.testing import toy_examples
from micl_cli.training.feature_cache import Features

HERE = torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HERE, reason="no CUDA device (make test-gpu lets it be seen)")]

SMALL = ["--max-steps", "4", "--batch-size", "2", "--accumulation", "1", "--eval-examples", "2"]
SMALL += ["--validation-examples", "2", "--max-new-tokens", "3"]
ROUTER = ["-o", "router_options", "epochs=1,samples=4"]


def backbone_words(kind: str, tmp_path: Path) -> list[str]:
    return ["--backbone", "tiny" if kind == "tiny" else f"hf:{build(kind, tmp_path / kind)}"]


def told(done: Any) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def fill_memory() -> list[torch.Tensor]:
    """Allocate tensors until this process may have no more of the GPU's memory."""
    held = []
    for size in (4 << 20, 512 << 10, 32 << 10):
        with contextlib.suppress(torch.OutOfMemoryError):
            while True:
                held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    return held


@pytest.fixture
def no_memory() -> Iterator[list[torch.Tensor]]:
    """Fill the memory that this process may use; clearing the list frees it."""
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (64 << 20)) / total)
    held = fill_memory()
    yield held
    held.clear()
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("quantize", ["none", "nf4", "int8"])
@pytest.mark.parametrize("strategy", ["moincl", "lwf", "ewc", "router"])
@pytest.mark.parametrize("kind", ["tiny", "qwen2_5_omni", "llava_onevision"])
def test_two_tasks_are_learnt_and_scored_again(
    kind: str, strategy: str, quantize: str, micl: Any, little_mini: Any, tmp_path: Path
) -> None:
    tasks = "img_cap,vid_qa" if kind == "llava_onevision" else "img_cap,aud_qa"
    words = [*backbone_words(kind, tmp_path), "--strategy", strategy, "--tasks", tasks, "--quantize", quantize]
    words += ["--gradient-checkpointing", *(ROUTER if strategy == "router" else []), *SMALL]
    events = told(micl("learn", *words, "--json"))
    learned = [event for event in events if event["event"] == "task_learned"]
    assert [event["position"] for event in learned] == [1, 2]
    assert all(event["peak_bytes"] > 0 for event in learned)
    run = events[0]["run"]
    report = json.loads(micl("report", run, "--json").out)["runs"][0]
    scored = told(micl("eval", run, "--stage", "1", "--tasks", "img_cap", "--examples", "2", "--json"))
    main = next(event for event in scored if event["event"] == "scored" and event["main"])
    assert main["value"] == pytest.approx(report["matrix"][0][0])


def test_device_and_precision_are_chosen(micl: Any, little_mini: Any) -> None:
    words = ["learn", "--strategy", "finetune", "--tasks", "img_cap", *SMALL]
    run = micl(*words, "--quiet").out.strip()
    environment = json.loads(micl("runs", "show", run, "--json").out)["environment"]
    assert environment["device"] == torch.cuda.get_device_name()
    made = Tiny(resources=resources())
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    assert made.language.dtype == (torch.bfloat16 if native else torch.float32)


def made(kind: str, folder: Path, **options: Any) -> LanguageBackbone:
    backbone = (
        HF(str(folder), resources=resources(), **options) if kind == "hf" else Tiny(resources=resources(), **options)
    )
    ready(backbone, scale=0.05)
    backbone.place(torch.device("cuda"))
    return backbone


def gradients(backbone: LanguageBackbone) -> torch.Tensor:
    """LoRA's gradients, in a line, of a step that comes after an evaluation."""
    examples = toy_examples(sorted(backbone.modalities))
    with torch.autocast("cuda", torch.bfloat16):
        backbone.generate(examples, max_new_tokens=2)
        backbone.module.train()
        loss = backbone.loss(backbone.batch(examples))
    torch.autograd.backward(loss)
    lora = [w for n, w in backbone.adapters.parameters("main").items() if backbone.adapters.group(n) == "lora"]
    return torch.cat([weight.grad.float().flatten() for weight in lora if weight.grad is not None])


@pytest.mark.parametrize("kind", ["hf", "composed"])
def test_gradients_are_those_of_the_dequantised_weights(kind: str, tmp_path: Path) -> None:
    from bitsandbytes.functional import dequantize_4bit

    folder = build("llava", tmp_path / "llava")
    quantised, reference = made(kind, folder, quantize="nf4"), made(kind, folder, dtype="fp32")
    there = dict(reference.language.named_modules())
    with torch.no_grad():
        for name, layer in quantised.language.named_modules():
            if type(layer).__name__ == "Linear4bit":
                there[name].weight.copy_(dequantize_4bit(layer.weight.data, layer.weight.quant_state))
            elif name in there and not list(layer.children()):
                for key, weight in layer.named_parameters(recurse=False):
                    getattr(there[name], key).copy_(weight)
    ours, true = gradients(quantised), gradients(reference)
    assert torch.nn.functional.cosine_similarity(ours, true, dim=0) >= 0.99


@pytest.mark.parametrize("kind", ["hf", "composed"])
def test_kept_features_change_no_answer(kind: str, tmp_path: Path) -> None:
    folder = build("qwen2_5_omni", tmp_path / "omni")
    found = []
    for cache in (None, Features(tmp_path / "features"), Features(tmp_path / "features")):
        backbone = made(kind, folder)
        backbone.cache = cache
        examples = toy_examples(sorted(backbone.modalities))
        with torch.no_grad():
            found.append(backbone.answer_logits(backbone.batch(examples))[0])
        if cache is not None:
            cache.flush()
    assert all(torch.equal(each, found[0]) for each in found)


def test_memory_that_runs_out_loses_nothing(
    micl: Any, little_mini: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = ["learn", *backbone_words("llava", tmp_path), "--strategy", "finetune", "--tasks", "img_cap,img_qa"]
    words += [*SMALL, "--quiet"]
    held = request.getfixturevalue("no_memory")
    done = micl(*words)
    assert done.code == 1
    assert "out of memory" in done.err
    for cure in ("--batch-size", "--gradient-checkpointing", "--quantize nf4"):
        assert cure in done.err
    held.clear()
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert micl(*words).code == 0
