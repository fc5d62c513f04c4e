"""LoRA (Hu et al., arXiv 2106.09685): W x + alpha / r B A x, with a rank per layer; rank 0 leaves a layer out.

Optionally with a trainable r x r matrix between A and B (as in PathWeave's adapter-in-adapter, arXiv 2410.20178, and
LoRA-XS) or a diagonal one (one weight per rank); both are initialised with the identity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from micl_cli.api import AdapterKind, Layer, LayerAdapter, OptionError, Range, TokenMap

Inner = Literal["none", "diagonal", "matrix"]


class Lora(AdapterKind):
    """Low-rank matrices A and B in each layer; B is initialised with zeros."""

    def __init__(
        self,
        *,
        rank: Annotated[int, "rank r of the matrices", Range(1)] = 8,
        alpha: Annotated[float, "scale: the output is multiplied by alpha / rank", Range(0)] = 16.0,
        dropout: Annotated[float, "dropout on the input of A", Range(0, 1, high_open=True)] = 0.0,
        layers: Annotated[str, "regular expression that the names of adapted layers match (default: all layers)"] = "",
        ranks: Annotated[str, "ranks by layer name: PATTERN=RANK,...; the first match counts; 0 leaves it out"] = "",
        inner: Annotated[Inner, "trainable matrix between A and B"] = "none",
    ) -> None:
        self.rank, self.alpha, self.dropout, self.inner = rank, alpha, dropout, inner
        self.layers, self.ranks = layers, ranks
        self._pattern = _compiled(layers, "layers")
        self._ranks = _ranks(ranks)

    def check(self, layers: Sequence[Layer]) -> None:
        adapted = [layer.name for layer in layers if self._pattern.search(layer.name)]
        if not adapted:
            raise OptionError(f"layers: no layer matches {self.layers!r}", _layers_hint(layers))
        used = {next((p for p in self._ranks if p.search(name)), None) for name in adapted}
        if unused := [pattern.pattern for pattern in self._ranks if pattern not in used]:
            raise OptionError(f"ranks: {unused[0]!r} is the first match of no adapted layer", _layers_hint(layers))
        if not any(map(self.rank_of, adapted)):
            raise OptionError("ranks: every layer has rank 0", "Leave at least one layer a rank.")

    def rank_of(self, name: str) -> int:
        """Return the rank in the layer of that name; 0 if the layer is not adapted."""
        if not self._pattern.search(name):
            return 0
        return next((rank for pattern, rank in self._ranks.items() if pattern.search(name)), self.rank)

    def layer(self, layer: Layer) -> LayerAdapter | None:
        rank = self.rank_of(layer.name)
        return LowRank(layer, rank, self.alpha / rank, self.dropout, self.inner) if rank else None


class LowRank(LayerAdapter):
    """scale * B inner A x in one layer. A is initialised like peft's (Kaiming uniform, a = sqrt(5))."""

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

    def folded(self) -> tuple[Tensor, Tensor, float]:
        """Return (A, B, scale) of plain LoRA with the same output: the matrix between A and B is folded into A."""
        if self.inner is None:
            return self.A, self.B, self.scale
        return self.inner[:, None] * self.A if self.inner.ndim == 1 else self.inner @ self.A, self.B, self.scale


def _compiled(pattern: str, option: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise OptionError(f"{option}: {pattern!r} is not a regular expression: {error}", "Correct it.") from error


def _layers_hint(layers: Sequence[Layer]) -> str:
    names = [layer.name for layer in layers]
    return f"The layers are called: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."


def _ranks(text: str) -> Mapping[re.Pattern[str], int]:
    ranks: dict[re.Pattern[str], int] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        written, equals, rank = item.rpartition("=")
        if not equals or not written.strip() or not rank.strip().isdecimal():
            raise OptionError(f"ranks: {item!r} is not PATTERN=RANK", "For example: layers.0=4,q_proj=16")
        pattern = _compiled(written.strip(), "ranks")
        if pattern in ranks:
            raise OptionError(f"ranks: {pattern.pattern!r} is given twice", "Give each pattern one rank.")
        ranks[pattern] = int(rank)
    return ranks
