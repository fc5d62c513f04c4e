"""Encoders: how a composed backbone turns a medium into vectors that a connector reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A frozen network that turns media of one modality into ``tokens`` vectors of ``width`` numbers.

    A preset names it by its registered name (``family = "conv-image"`` in ``[encoder.image]``) and passes the other
    keys of that table to the constructor. ``options`` are the reading options that it wants of its modality (a sample
    rate, a number of frames). Raise ``version`` where the same weights make other vectors than before, so that cached
    ones are not taken for them. ``standardize`` asks for a per-channel standardisation before the connector: channels
    of pretrained encoders differ much in scale.
    """

    version: ClassVar[int] = 1
    standardize: ClassVar[bool] = False

    def __init__(self, tokens: int, width: int, options: Mapping[str, object]) -> None:
        super().__init__()
        self.tokens = tokens
        self.width = width
        self.options = options

    @abstractmethod
    def prepare(self, medium: Any) -> Tensor:
        """Return one medium in its canonical form (see Modality) as an input tensor of fixed shape."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Encode [B, ...] prepared media as [B, tokens, width]."""
