"""Encoders: networks of a composed backbone that turn a medium into the vectors that a connector reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A frozen network that turns a medium of one modality into ``tokens`` vectors of size ``width``.

    A preset refers to an encoder by its registered name (``family = "conv-image"`` in ``[encoder.image]``) and passes
    the other keys of that table to the constructor. ``options`` are the options with which the modality reads media for
    it (sample rate, number of frames). Increment ``version`` when the same weights produce different vectors, to
    invalidate cached ones. ``standardize`` requests per-channel standardisation before the connector, since the
    channels of pretrained encoders differ widely in scale.
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
        """Return a medium, given in its canonical form (see Modality), as an input tensor of fixed shape."""

    def check(self, facts: Mapping[str, Any]) -> str:
        """Return why a medium with these facts (see Modality.inspect) cannot be prepared; empty if it can."""
        return ""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Encode [B, ...] prepared media as [B, tokens, width]."""
