"""LoRA (Hu et al., arXiv 2106.09685): W x + alpha / r B A x, with rank and presence per layer.

Between A and B may stand a trainable r x r matrix (as in PathWeave's adapter-in-adapter, arXiv 2410.20178, and LoRA-XS)
or a diagonal (one weight a rank); both start as the identity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from micl_cli.api import AdapterKind, Layer, LayerAdapter, OptionError, Range, TokenMap

Inner = Literal["none", "diagonal", "matrix"]


class Lora(AdapterKind):
    """Low-rank matrices A and B in each layer, B of zeros at first."""

    def __init__(
        self,
        *,
        rank: Annotated[int, "rank r of the matrices", Range(1)] = 8,
        alpha: Annotated[float, "scale: alpha / rank multiplies what is added", Range(0)] = 16.0,
        dropout: Annotated[float, "dropout before A", Range(0, 1, high_open=True)] = 0.0,
        layers: Annotated[str, "regular expression for the names of the layers; all where empty"] = "",
        ranks: Annotated[str, "other ranks: PATTERN=RANK,PATTERN=RANK; the first that a name matches; 0: none"] = "",
        inner: Annotated[Inner, "what is trained between A and B"] = "none",
    ) -> None:
        self.rank, self.alpha, self.dropout, self.inner = rank, alpha, dropout, inner
        self.layers, self.ranks = layers, ranks
        self._pattern = re.compile(layers)
        self._ranks = _ranks(ranks)

    def rank_of(self, name: str) -> int:
        """Return the rank in a layer of that name; 0 where it is left alone."""
        if not self._pattern.search(name):
            return 0
        return next((rank for pattern, rank in self._ranks.items() if re.search(pattern, name)), self.rank)

    def layer(self, layer: Layer) -> LayerAdapter | None:
        rank = self.rank_of(layer.name)
        return LowRank(layer, rank, self.alpha / rank, self.dropout, self.inner) if rank else None


class LowRank(LayerAdapter):
    """scale B inner A x in one layer. A is drawn as peft draws it (Kaiming uniform, a = sqrt(5))."""

    def __init__(self, layer: Layer, rank: int, scale: float, dropout: float, inner: Inner) -> None:
        super().__init__()
        self.scale = scale
        self.A = nn.Parameter(torch.empty(rank, layer.inputs))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(layer.outputs, rank))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.inner = {"none": None, "diagonal": torch.ones(rank), "matrix": torch.eye(rank)}[inner]
        if self.inner is not None:
            self.inner = nn.Parameter(self.inner)

    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        ranks = self.dropout(x) @ self.A.T
        if self.inner is not None:
            ranks = ranks * self.inner if self.inner.ndim == 1 else ranks @ self.inner.T
        added: Tensor = ranks @ self.B.T * self.scale
        return added

    def low_rank(self) -> tuple[Tensor, Tensor, float] | None:
        return (self.A, self.B, self.scale) if self.inner is None else None


def _ranks(text: str) -> Mapping[str, int]:
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        pattern, mark, rank = part.rpartition("=")
        if not mark or not rank.strip().isdecimal():
            raise OptionError(f"ranks: {part!r} is no PATTERN=RANK", "Write for example: layers.0=4,q_proj=16")
        found[pattern.strip()] = int(rank)
    return found
