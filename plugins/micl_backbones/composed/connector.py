"""Connectors: what turns an encoder's tokens into words that the language model can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FITTED_TO = 64
"""Media whose tokens Standard is fitted to: some 1,600 vectors."""


class Standard(nn.Module):
    """Each channel of an encoder's tokens around zero and of spread one, by the media it was fitted to.

    In a pretrained encoder a few channels are large whatever it sees or hears, and LayerNorm then leaves little of the
    rest: in Whisper's tokens a tenth of the variance is between sounds. Linear probes standardise features for the
    same reason (He et al., arXiv 2111.06377, appendix A.1). Until it is fitted it changes nothing; it never learns.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(width), requires_grad=False)

    @property
    def fitted(self) -> bool:
        """Whether ``fit`` was called, here or where the weights come from."""
        return bool(self.mean.any())

    @torch.no_grad()
    def fit(self, tokens: Tensor) -> None:
        """Take over the statistics of tokens [n, T, width]; channels that hardly vary are not blown up."""
        spread = tokens.float().std((0, 1))
        self.mean.copy_(tokens.float().mean((0, 1)))
        self.spread.copy_(spread.clamp_min(spread.median()).clamp_min(1e-6))

    def forward(self, tokens: Tensor) -> Tensor:
        standard: Tensor = (tokens - self.mean) / self.spread
        return standard


class Standards(nn.ModuleDict):
    """A Standard for each modality whose encoder is uneven. They serve all adapters, and are kept with each."""

    def even(self, modality: str, tokens: Tensor) -> Tensor:
        """The tokens as connectors read them."""
        return cast(Tensor, self[modality](tokens)) if modality in self else tokens

    def unfitted(self) -> list[tuple[str, Standard]]:
        """Those that no media were met for."""
        return [(name, each) for name, each in self.items() if isinstance(each, Standard) and not each.fitted]

    def kept(self) -> dict[str, Tensor]:
        """A copy on the CPU, by names to be kept in."""
        return {f"standard.{name}": weight.detach().cpu().clone() for name, weight in self.named_parameters()}

    @torch.no_grad()
    def take(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take over what ``kept`` gave and no fitted one has yet. Returns the rest of ``state``."""
        for modality, standard in self.unfitted():
            for name, weight in standard.named_parameters():
                weight.copy_(state.get(f"standard.{modality}.{name}", weight))
        return {name: weight for name, weight in state.items() if not name.startswith("standard.")}


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
