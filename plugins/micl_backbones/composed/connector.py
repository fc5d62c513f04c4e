"""Connectors: trainable networks from encoder outputs to input embeddings of the language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIT_MEDIA = 64
"""Maximum number of media for fitting a Standardizer: about 1,600 vectors."""


class Standardizer(nn.Module):
    """Standardise each channel of an encoder's outputs to mean 0 and deviation 1, as measured on the fitted media.

    In a pretrained encoder a few channels are large for any input, and a LayerNorm then suppresses the others: only a
    tenth of the variance of Whisper's outputs is between sounds. Linear probes standardise features for the same reason
    (He et al., arXiv 2111.06377, appendix A.1). It is the identity until it is fitted, and is never trained.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(width), requires_grad=False)

    @property
    def fitted(self) -> bool:
        """Whether statistics have been fitted or loaded."""
        return bool(self.mean.any())

    @torch.no_grad()
    def fit(self, tokens: Tensor) -> None:
        """Measure mean and deviation of encoder outputs [n, T, width]; nearly constant channels are not amplified."""
        spread = tokens.float().std((0, 1))
        self.mean.copy_(tokens.float().mean((0, 1)))
        self.spread.copy_(spread.clamp_min(spread.median()).clamp_min(1e-6))

    def forward(self, tokens: Tensor) -> Tensor:
        standard: Tensor = (tokens - self.mean) / self.spread
        return standard


class Standardizers(nn.ModuleDict):
    """The Standardizers, by modality, of encoders that require one; shared by all adapters and saved with each."""

    def standardized(self, modality: str, tokens: Tensor) -> Tensor:
        """Return encoder outputs [n, T, width], standardised if the modality has a Standardizer."""
        return cast(Tensor, self[modality](tokens)) if modality in self else tokens

    def unfitted(self) -> list[tuple[str, Standardizer]]:
        """Return the standardizers that have not been fitted yet, with their modalities."""
        return [(name, each) for name, each in self.items() if isinstance(each, Standardizer) and not each.fitted]

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the statistics on the CPU, by names that begin with "standard."."""
        return {f"standard.{name}": weight.detach().cpu().clone() for name, weight in self.named_parameters()}

    @torch.no_grad()
    def reset(self) -> None:
        """Make every Standardizer the identity again."""
        for standard in self.values():
            if isinstance(standard, Standardizer):
                standard.mean.zero_()
                standard.spread.fill_(1.0)

    @torch.no_grad()
    def load_unfitted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Load the statistics of unfitted standardizers from an adapter's ``state``; return the rest of it."""
        for modality, standard in self.unfitted():
            for name, weight in standard.named_parameters():
                weight.copy_(state.get(f"standard.{modality}.{name}", weight))
        return {name: weight for name, weight in state.items() if not name.startswith("standard.")}


class Connector(nn.Module):
    """LayerNorm, linear, GELU, linear and LayerNorm for each token, plus a learnt position embedding.

    [B, tokens, width] -> [B, tokens, size]. The output is initialised with the standard deviation of the language
    model's own embeddings (``scale``), so that the model can read it from the first step on.
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
