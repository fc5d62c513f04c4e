"""Precision of frozen weights: float32, bfloat16, or 4 and 8 bits by bitsandbytes (QLoRA, arXiv 2305.14314)."""

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
    """Whether this process computes on a GPU: one is available, and the CPU was not requested."""
    if is_initialized():
        return bool(PartialState().device.type == "cuda")
    return torch.cuda.is_available()


def _has_native_bf16() -> bool:
    """Whether the hardware computes in bfloat16; emulation on a CPU is ten times slower than float32."""
    if on_gpu():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def storage(quantize: Quantize, dtype: DType, *, stored: Any = None, only: str = "") -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` for the precision in which frozen weights are stored and computed.

    ``stored`` is the dtype in the checkpoint: on a CPU, float32 weights are not rounded. ``only`` names the submodule
    to quantise; other weights keep their precision. "nf4" is 4-bit NormalFloat with double quantisation, computed in
    bfloat16 on hardware with native bfloat16. Raises PlanError if bitsandbytes is missing.
    """
    if quantize not in get_args(Quantize):
        raise PlanError(f"no quantisation {quantize!r}", "Use none, nf4 or int8.")
    requested = {"bf16": torch.bfloat16, "fp32": torch.float32}.get(dtype)
    compute = requested or (torch.bfloat16 if _has_native_bf16() else torch.float32)
    if quantize == "none":
        if not requested and not on_gpu() and stored not in (torch.bfloat16, torch.float16):
            compute = torch.float32
        return {"dtype": compute}
    _require_bitsandbytes(quantize)
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


def _require_bitsandbytes(quantize: str) -> None:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise PlanError(f"--quantize {quantize} needs bitsandbytes: {error}", "pip install bitsandbytes") from error


def disable_weight_repacking(model: nn.Module) -> None:
    """Prevent 4-bit layers from repacking their weights for evaluation on a CPU.

    On a CPU with AVX512-BF16, bitsandbytes repacks them in evaluation mode for an operator without a gradient: all
    steps after the first evaluation would use wrong gradients, with nothing but a warning.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            vars(layer)["support_avx512bf16_for_cpu"] = False


def make_states_contiguous(model: Any) -> None:
    """Make the inputs of a model's vocabulary projection contiguous.

    For a slice of the states, as in decoding, torch copies the projection for each row: in bfloat16 these are 57 MB per
    row for 49,152 words of width 576.
    """
    model.get_output_embeddings().register_forward_pre_hook(lambda head, args: (args[0].contiguous(), *args[1:]))
