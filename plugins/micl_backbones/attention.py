"""Attention in float32 on a CPU, for models whose layers compute in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from micl_backbones.weights.quantize import on_gpu

CPU_ATTENTION = "sdpa_float32"
"""The name under which ``float32_attention`` is registered with transformers."""


def use_float32_attention(model: nn.Module) -> None:
    """Replace torch's attention kernel by ``float32_attention`` in a bfloat16 model on a CPU.

    Submodules for which transformers chose another implementation, because they support no other, keep it.
    """
    if on_gpu() or next(model.parameters()).dtype == torch.float32:
        return
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "_attn_implementation_internal", None) == "sdpa":
            config._attn_implementation_internal = CPU_ATTENTION


def accepts_block_masks(config: Any) -> bool:
    """Whether the attention implementation applies a boolean mask [B, 1, L, L] as it is.

    Eager attention would add its ones and zeros to the scores; flash attention does not take such a mask.
    """
    return config._attn_implementation in ("sdpa", CPU_ATTENTION)


def float32_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """Scaled dot product attention in float32; the result has the queries' dtype.

    The backward pass of torch's CPU kernel is twenty times slower in bfloat16 than in float32, which is half of a step
    of a small language model. Attention is too small a share of the work for bfloat16 to save anything.
    """
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    wide = query.float(), key.float(), value.float()
    output, _ = sdpa_attention_forward(module, *wide, attention_mask, **more)
    return output.to(query.dtype), None


AttentionInterface.register(CPU_ATTENTION, float32_attention)
AttentionMaskInterface.register(CPU_ATTENTION, sdpa_mask)
