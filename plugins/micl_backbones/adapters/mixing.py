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


class Mixture:
    """The adapter of each example of a batch, by ``names``; and which examples the next pass computes.

    At first these are all, a row each. A batch of k times as many rows holds k neighbouring ones for each, as beam
    search makes them.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = names
        self.adapters = list(dict.fromkeys(names))
        self._adapter = torch.tensor([self.adapters.index(name) for name in names], device=device)
        self._computed = self._adapter[:, None]

    def computing(self, examples: Tensor) -> None:
        """Tell which example each row [rows], or each position [rows, width], of the next passes belongs to."""
        owner = self._adapter[examples]
        self._computed = owner if owner.ndim == 2 else owner[:, None]

    def of(self, table: Tensor, x: Tensor) -> Tensor:
        """For each vector of ``x`` [rows, width, D] its adapter's line of ``table`` [adapters, D], to be multiplied.

        Some layers are given the vectors [rows * width, D] behind one another.
        """
        if x.ndim > 2:
            return table[self._computed.repeat_interleave(len(x) // len(self._computed), dim=0)]
        return table[self._computed.flatten().repeat_interleave(len(x) // self._computed.numel())]


@contextmanager
def mixed_adapters(peft: PeftModel, names: Sequence[str]) -> Iterator[Mixture]:
    """Let row i of every batch pass through adapter ``names[i]``, for inference; Mixture tells of other rows."""
    mixture = Mixture(names, next(peft.parameters()).device)
    peft.base_model.disable_adapter_layers()
    try:
        with ExitStack() as hooks:
            for layer in peft.base_model.modules():
                if isinstance(layer, LoraLayer):
                    down, up, mask = _stacked(layer, mixture.adapters)
                    handle = layer.register_forward_hook(partial(_add, mixture=mixture, down=down, up=up, mask=mask))
                    hooks.callback(handle.remove)
            yield mixture
    finally:
        peft.base_model.enable_adapter_layers()


def _stacked(layer: LoraLayer, adapters: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """(A [sum r, in], B [out, sum r], mask [adapters, sum r]): the mask holds each adapter's scale."""
    down = [layer.lora_A[name].weight for name in adapters]
    up = [layer.lora_B[name].weight for name in adapters]
    owner = torch.tensor([k for k, weight in enumerate(down) for _ in weight], device=down[0].device)
    scale = torch.tensor([layer.scaling[name] for name in adapters], device=owner.device, dtype=down[0].dtype)
    mask = (torch.arange(len(adapters), device=owner.device)[:, None] == owner) * scale[owner]
    return torch.cat(down), torch.cat(up, dim=1), mask


def _add(
    module: nn.Module,
    inputs: tuple[Any, ...],
    output: Tensor,
    *,
    mixture: Mixture,
    down: Tensor,
    up: Tensor,
    mask: Tensor,
) -> Tensor:
    x = inputs[0].to(down.dtype)
    added: Tensor = ((x @ down.T) * mixture.of(mask, x)) @ up.T
    return output + added.to(output.dtype)
