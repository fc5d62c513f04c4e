"""Frozen weights in 4 or 8 bits, by bitsandbytes (QLoRA, Dettmers et al., arXiv 2305.14314)."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

import torch
from accelerate.state import PartialState, is_initialized
from torch import nn

from micl_cli.api import PlanError

Quantize = Literal["none", "nf4", "int8"]
DType = Literal["auto", "bf16", "fp32"]


def on_gpu() -> bool:
    """Whether this process computes on a GPU: one is there, and the CPU was not chosen."""
    if is_initialized():
        return bool(PartialState().device.type == "cuda")
    return torch.cuda.is_available()


def _computes_bf16() -> bool:
    """Whether bfloat16 is native; emulated it takes a CPU ten times as long as float32."""
    if on_gpu():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def storage(quantize: Quantize, dtype: DType, *, stored: Any = None, only: str = "") -> dict[str, Any]:
    """Return arguments of ``from_pretrained`` for the storage and compute precision of frozen weights.

    ``stored`` is the precision of the checkpoint: a CPU does not round float32 weights. ``only`` is the name of the
    module that is quantised; others keep their precision. "nf4" is the
    4-bit NormalFloat with double quantisation, computed in bfloat16 where that is not emulated. Raises
    PlanError where bitsandbytes is missing.
    """
    if quantize not in get_args(Quantize):
        raise PlanError(f"no quantisation {quantize!r}", "Use none, nf4 or int8.")
    stated = {"bf16": torch.bfloat16, "fp32": torch.float32}.get(dtype)
    compute = stated or (torch.bfloat16 if _computes_bf16() else torch.float32)
    if quantize == "none":
        if not stated and not on_gpu() and stored not in (torch.bfloat16, torch.float16):
            compute = torch.float32
        return {"dtype": compute}
    _need_bitsandbytes(quantize)
    from transformers import BitsAndBytesConfig

    skipped = {"llm_int8_skip_modules": [rf"(?!{re.escape(only)}\.).*"]} if only else {}
    if quantize == "int8":
        eight = BitsAndBytesConfig(load_in_8bit=True, **skipped)
        return {"dtype": compute, "quantization_config": eight}
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        **skipped,
    )
    return {"dtype": compute, "quantization_config": four}


def _need_bitsandbytes(quantize: str) -> None:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise PlanError(f"--quantize {quantize} needs bitsandbytes: {error}", "pip install bitsandbytes") from error


def keep_gradients_true(model: nn.Module) -> None:
    """Prevent 4-bit layers from repacking their weights for evaluation on a CPU.

    Where the CPU has AVX512-BF16, bitsandbytes repacks them in evaluation mode for an operator that has no
    gradient: every step after the first evaluation would then use wrong gradients, with no more than a warning.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            vars(layer)["support_avx512bf16_for_cpu"] = False


def project_whole_states(model: Any) -> None:
    """Make a model's vocabulary projection read contiguous states.

    For a slice of the states, as in generation, torch multiplies each row with a copy of the projection: in bfloat16
    57 MB a row for 49,152 words of width 576.
    """
    model.get_output_embeddings().register_forward_pre_hook(lambda head, given: (given[0].contiguous(), *given[1:]))
