"""Soft prompts (Lester et al., arXiv 2104.08691): trainable input embeddings before the content of an example.

Which prompts an example is given is a matter of the selection: a list of adapters puts theirs one after another, a
mixture gives each example those that have a weight (as ModalPrompt, arXiv 2410.05849, and L2P, arXiv 2112.08654, do).
"""

from __future__ import annotations

from typing import Annotated

from micl_cli.api import AdapterKind, Layer, LayerAdapter, Range


class Prompts(AdapterKind):
    """Some input embeddings, and nothing in the layers."""

    def __init__(self, *, tokens: Annotated[int, "number of input embeddings", Range(1)] = 10) -> None:
        self.tokens = tokens

    @property
    def prompt_tokens(self) -> int:
        return self.tokens

    def layer(self, layer: Layer) -> LayerAdapter | None:
        return None
