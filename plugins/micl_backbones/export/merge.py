"""Merging of one plain LoRA into the weights of its base model, and writing of the whole model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.pytorch_utils import Conv1D

from micl_backbones.adapters.peft import PeftAdapters
from micl_backbones.export.matrices import LoraMatrices
from micl_cli.api import PlanError

_COPIED = re.compile(
    r"[^/]*(tokenizer|special_tokens|added_tokens|vocab|merges|processor|chat_template|normalizer)[^/]*\.(json|txt)"
    r"|[^/]+\.(model|jinja|tiktoken)"
    r"|additional_chat_templates/[^/]+\.jinja"
)
"""The files of tokenizers and processors. Other files, such as those of a trainer, may tell what is not for others."""


def check_mergeable(language: Any) -> None:
    """Raise PlanError if the weights of a model cannot hold a merged adapter."""
    if getattr(language, "is_quantized", False) or getattr(language.config, "quantization_config", None):
        raise PlanError(
            "the adapter cannot be merged: the base model's weights are quantised, and rounding would change answers",
            "Export adapters: --format peft. To merge, learn on unquantised weights (without --quantize).",
        )


@torch.no_grad()
def merge(adapters: PeftAdapters, matrices: LoraMatrices) -> None:
    """Add a plain LoRA to the weights of the base model, computed in float32; no adapter acts on it afterwards."""
    adapters.activate(None)
    if adapters.peft is not None:
        cast(Any, adapters.peft).unload()
    for layer in matrices.layers:
        module = adapters.language.get_submodule(layer)
        delta = matrices.delta(layer).to(module.weight.device)
        merged = module.weight.float() + (delta.T if isinstance(module, Conv1D) else delta)
        cast(Tensor, module.weight).copy_(merged.to(module.weight.dtype))


def write_model(model: Any, folder: Path, ends: Sequence[int], pad: int) -> None:
    """Write the weights and the configuration of a model, which decodes plainly: no sampling, no penalties."""
    model.generation_config = GenerationConfig(eos_token_id=list(ends), pad_token_id=pad)
    model.save_pretrained(folder)


def copy_checkpoint_files(source: Path, folder: Path) -> None:
    """Copy the tokenizer, the processor and the chat templates of a checkpoint, and nothing else."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = path.relative_to(source).as_posix()
        if _COPIED.fullmatch(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
