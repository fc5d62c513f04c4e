"""Adapters as plain LoRA matrices, the only form that peft's layout and merging have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from micl_backbones.adapters.lora import LowRank
from micl_cli.api import Adapters, LayerAdapter, PlanError


@dataclass(frozen=True)
class LoraMatrices:
    """Plain LoRA: ``layers`` maps names to A [r, inputs] and B [outputs, r]; each layer adds alpha / r B A x.

    ``rank`` is the highest r. All tensors are on the CPU.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]]
    rank: int
    alpha: float

    @property
    def other_ranks(self) -> dict[str, int]:
        """The ranks that differ from ``rank``, by layer."""
        return {layer: len(a) for layer, (a, _) in self.layers.items() if len(a) != self.rank}

    def delta(self, layer: str) -> Tensor:
        """Return [outputs, inputs]: what a layer adds to its weight, in float32."""
        a, b = self.layers[layer]
        return self.alpha / len(a) * (b.float() @ a.float())


def lora_matrices(adapters: Adapters, name: str, *, one_rank: bool = False) -> LoraMatrices:
    """Return an adapter as plain LoRA; with ``one_rank``, all layers get the highest rank, without a change of output.

    Raises PlanError if its kind is no plain LoRA.
    """
    check_plain(adapters, name)
    layers = {layer: _plain(adapter) for layer, adapter in adapters.layer_adapters(name).items()}
    plain = {layer: matrices for layer, matrices in layers.items() if matrices}
    ranks = {len(a) for a, _, _ in plain.values()}
    alpha = max(scale * len(a) for a, _, scale in plain.values())
    same_alpha = all(math.isclose(scale * len(a), alpha, rel_tol=1e-9) for a, _, scale in plain.values())
    rank = max(ranks)
    if same_alpha and (len(ranks) == 1 or not one_rank):
        kept = {layer: (_copy(a), _copy(b)) for layer, (a, b, _) in plain.items()}
        return LoraMatrices(kept, rank, _whole(alpha))
    widened = {layer: _widened(a, b, scale, rank) for layer, (a, b, scale) in plain.items()}
    return LoraMatrices(widened, rank, rank)


def check_plain(adapters: Adapters, name: str) -> None:
    """Raise PlanError, with the reason, if an adapter is no plain LoRA."""
    kind, layers = adapters.spec(name).kind, adapters.layer_adapters(name).values()
    if adapters.kind(adapters.spec(name)).prompt_tokens:
        raise _inexpressible(name, f"its kind {kind!r} has soft prompts, which every example is preceded by")
    if not layers or not all(_plain(layer) for layer in layers):
        raise _inexpressible(
            name, f"its kind {kind!r} is no plain LoRA: what it adds depends on the input or on a gate"
        )


def _inexpressible(name: str, reason: str) -> PlanError:
    return PlanError(
        f"the adapter {name!r} cannot be exported: {reason}",
        "Exports hold plain LoRA. Score or ask the run itself, or learn again with LoRA.",
    )


def _plain(layer: LayerAdapter) -> tuple[Tensor, Tensor, float] | None:
    return layer.folded() if isinstance(layer, LowRank) else layer.low_rank()


def _copy(weight: Tensor) -> Tensor:
    return weight.detach().cpu().clone().contiguous()


@torch.no_grad()
def _widened(a: Tensor, b: Tensor, scale: float, rank: int) -> tuple[Tensor, Tensor]:
    """Return A and B of a higher rank with the same product, scaled so that alpha / rank is 1."""
    more = rank - len(a)
    return _copy(F.pad(a, (0, 0, 0, more))), _copy(F.pad(b * scale, (0, more)))


def _whole(number: float) -> float:
    """Return a number as an int if it is one but for rounding: readers of adapter_config.json expect that."""
    return round(number) if math.isclose(number, round(number), rel_tol=1e-9) else number
