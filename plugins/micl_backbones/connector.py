"""Connectors: what turns an encoder's tokens into words that the language model can read."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Connector(nn.Module):
    """LayerNorm, linear, GELU, linear for each token, plus a learnt position.

    [B, tokens, width] -> [B, tokens, size]. The output starts with the spread of the language
    model's own embeddings (``scale``), so that it can be read from the first step on.
    """

    def __init__(self, tokens: int, width: int, size: int, *, hidden: int, scale: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, size)
        self.position = nn.Parameter(
            0.02 * scale * nn.init.normal_(nn.Parameter(self.norm.weight.new_empty(tokens, size)))
        )
        self.out_norm = nn.LayerNorm(size)
        nn.init.constant_(self.out_norm.weight, scale)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.outer(F.gelu(self.inner(self.norm(tokens))))
        embedded: Tensor = self.out_norm(hidden) + self.position
        return embedded
