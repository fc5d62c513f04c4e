"""Several adapters in one batch: each row through its own LoRA, in two products a layer.

The adapters' matrices stand behind one another: all rows pass through all of them, and a mask
keeps of each row what its own adapter gave. That costs some arithmetic, and no loop over adapters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn


@contextmanager
def mixed_adapters(peft: PeftModel, names: Sequence[str]) -> Iterator[None]:
    """Let row i of every batch pass through adapter ``names[i]``, for inference.

    A batch of k times as many rows holds k neighbouring ones for each name, as beam search makes them.
    """
    peft.base_model.disable_adapter_layers()
    try:
        with ExitStack() as hooks:
            for layer in peft.base_model.modules():
                if isinstance(layer, LoraLayer):
                    down, up, mask = _stacked(layer, names)
                    handle = layer.register_forward_hook(partial(_add, down=down, up=up, mask=mask))
                    hooks.callback(handle.remove)
            yield
    finally:
        peft.base_model.enable_adapter_layers()


def _stacked(layer: LoraLayer, names: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """(A [sum r, in], B [out, sum r], mask [rows, 1, sum r]): the mask holds each adapter's scale."""
    unique = list(dict.fromkeys(names))
    down = [layer.lora_A[name].weight for name in unique]
    up = [layer.lora_B[name].weight for name in unique]
    owner = torch.tensor([k for k, weight in enumerate(down) for _ in weight], device=down[0].device)
    scale = torch.tensor([layer.scaling[name] for name in unique], device=owner.device, dtype=down[0].dtype)
    rows = torch.tensor([unique.index(name) for name in names], device=owner.device)
    mask = (rows[:, None] == owner) * scale[owner]
    return torch.cat(down), torch.cat(up, dim=1), mask[:, None]


def _add(
    module: nn.Module, inputs: tuple[Any, ...], output: Tensor, *, down: Tensor, up: Tensor, mask: Tensor
) -> Tensor:
    x = inputs[0].to(down.dtype)
    if len(mask) != len(x):
        mask = mask.repeat_interleave(len(x) // len(mask), dim=0)
    added: Tensor = ((x @ down.T) * mask) @ up.T
    return output + added.to(output.dtype)
