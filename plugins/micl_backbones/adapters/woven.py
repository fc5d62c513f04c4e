"""A low-rank pair woven with frozen earlier ones: adapter-in-adapter (PathWeave, Yu et al., NeurIPS 2024, 2410.20178).

W x + alpha / r (sum_i g_i(x) B_i M_i A_i x + g_new(x) B A x), with g(x) = softmax(W_g x + eps softplus(W_n x)) for each
token. A_i and B_i are frozen copies of earlier pairs, with a trainable r x r matrix M_i between them; A and B are a new
pair. The noise eps ~ N(0, 1) is added in training only.

Deviations: M_i starts as the identity and has no bias, so that an earlier pair acts as it was learnt, times its gate
(the authors' is a randomly initialised linear layer with a bias). The adapters are low-rank pairs without biases, at
the constant scale alpha / r instead of a learnt one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_backbones.adapters.lora import Lora
from micl_cli.api import FROZEN, Layer, LayerAdapter, OptionError, Range, TokenMap


class Woven(Lora):
    """A new low-rank pair in each layer, and the frozen pairs of earlier adapters, weighted by a gate per token.

    The frozen pairs are zero until the weights of the earlier adapters are copied into them.
    """

    def __init__(
        self,
        *,
        earlier: Annotated[int, "number of earlier pairs in each layer", Range(1)] = 1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if self.inner != "none":
            raise OptionError("inner has no effect on a new pair that is woven with others", "Leave it out.")
        self.earlier = earlier

    def layer(self, layer: Layer) -> LayerAdapter | None:
        rank = self.rank_of(layer.name)
        return WovenPairs(layer, rank, self.alpha / rank, self.dropout, self.earlier) if rank else None


class WovenPairs(LayerAdapter):
    """The pairs of one layer: ``earlier_A`` [n, r, in] and ``earlier_B`` [n, out, r] are frozen."""

    groups: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("gate", "noise"), "gate"),
        **dict.fromkeys(("earlier_A", "earlier_B"), FROZEN),
    }

    def __init__(self, layer: Layer, rank: int, scale: float, dropout: float, earlier: int) -> None:
        super().__init__()
        self.scale = scale
        self.A = nn.Parameter(torch.empty(rank, layer.inputs))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(layer.outputs, rank))
        self.earlier_A = nn.Parameter(torch.zeros(earlier, rank, layer.inputs))
        self.earlier_B = nn.Parameter(torch.zeros(earlier, layer.outputs, rank))
        self.inner = nn.Parameter(torch.eye(rank).repeat(earlier, 1, 1))
        self.gate = nn.Parameter(torch.zeros(earlier + 1, layer.inputs))
        self.noise = nn.Parameter(torch.zeros(earlier + 1, layer.inputs))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        down = torch.cat([self.earlier_A, self.A[None]])
        ranks = torch.einsum("...i,nri->...nr", self.dropout(x), down)
        earlier = torch.einsum("...nr,nsr->...ns", ranks[..., :-1, :], self.inner)
        ranks = torch.cat([earlier, ranks[..., -1:, :]], dim=-2) * self.gates(x)[..., None]
        added: Tensor = torch.einsum("...nr,nor->...o", ranks, torch.cat([self.earlier_B, self.B[None]])) * self.scale
        return added

    def gates(self, x: Tensor) -> Tensor:
        """Return [..., n + 1]: the weights of the earlier pairs, in order, and of the new one."""
        logits = x @ self.gate.T
        if self.training:
            logits = logits + torch.randn_like(logits) * F.softplus(x @ self.noise.T)
        return logits.softmax(-1)
