"""Soft prompts (Lester et al., arXiv 2104.08691): trainable input embeddings before the content of an example.

The selection decides which prompts an example gets: a list of adapters concatenates theirs; a mixture gives each
example those with a nonzero weight, multiplied by it (as in ModalPrompt, arXiv 2410.05849, and L2P, arXiv 2112.08654).
"""

from __future__ import annotations

from typing import Annotated

from micl_cli.api import AdapterKind, Layer, LayerAdapter, Range


class Prompts(AdapterKind):
    """Trainable input embeddings, and no change of the layers."""

    def __init__(self, *, tokens: Annotated[int, "number of input embeddings", Range(1)] = 10) -> None:
        self.tokens = tokens

    @property
    def prompt_tokens(self) -> int:
        return self.tokens

    def layer(self, layer: Layer) -> LayerAdapter | None:
        return None
