"""MoELoRA (CoIN, arXiv 2403.08350) as a stranger writes it: an adapter kind of token-gated experts, and a strategy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from micl_cli.api import ADAPTER, AdapterKind, AdapterSpec, Layer, LayerAdapter, Stage, Strategy, TokenMap, hookimpl


class GatedExperts(AdapterKind):
    """Four experts of rank 2 in each layer."""

    def layer(self, layer: Layer) -> LayerAdapter:
        return GatedLayer(layer, experts=4, rank=2)


class GatedLayer(LayerAdapter):
    """sum over experts i of softmax(G x)_i B_i A_i x."""

    groups = {"gate": "gate"}

    def __init__(self, layer: Layer, experts: int, rank: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(0.1 * torch.randn(experts, layer.inputs))
        self.down = nn.Parameter(0.1 * torch.randn(experts, rank, layer.inputs))
        self.up = nn.Parameter(torch.zeros(experts, layer.outputs, rank))

    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        gates = (x @ self.gate.T).softmax(-1)
        ranks = torch.einsum("...i,eri->...er", x, self.down)
        return torch.einsum("...e,...er,eor->...o", gates, ranks, self.up)


class MoELoRA(Strategy):
    """Learn all tasks in one mixture of experts."""

    def begin(self, stage: Stage) -> None:
        if ADAPTER not in self.backbone.adapters.names:
            self.backbone.adapters.add(ADAPTER, AdapterSpec("gated-experts"), seed=stage.seed)
        self.backbone.adapters.activate(ADAPTER)


@hookimpl
def micl_register_adapters(register) -> None:
    register("gated-experts", f"{__name__}:GatedExperts", "token-gated experts")


@hookimpl
def micl_register_strategies(register) -> None:
    register("moelora", f"{__name__}:MoELoRA", "a mixture of token-gated experts")
