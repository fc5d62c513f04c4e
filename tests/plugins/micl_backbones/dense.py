"""A reference for selections: what adapters add is merged into dense weights, and each example is read alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_backbones.language import LanguageBackbone
from micl_cli.api import IGNORE_INDEX, Example
from micl_cli.testing import toy_media


class Term(NamedTuple):
    """An adapter with its weight, the layers that it acts in, and whether its connectors do."""

    name: str
    weight: float | Tensor = 1.0
    layers: Callable[[str], bool] = lambda name: True
    inputs: bool = True


Matrices = dict[str, tuple[Tensor, Tensor, float]]


class Dense:
    """A copy of a backbone without adapters, whose weights are those of the base with the given terms merged.

    ``matrices`` returns (A, B, scale) of each layer of an adapter; by default what the backbone's adapters say.
    """

    def __init__(
        self, backbone: LanguageBackbone, copy: LanguageBackbone, matrices: Callable[[str], Matrices] | None = None
    ) -> None:
        self.backbone, self.copy = backbone, copy
        self.matrices = matrices or backbone.adapters.low_rank
        copy.read = toy_media
        self.base = {layer.name: _taken(copy.layer_module(layer.name)) for layer in copy.adaptable_layers}

    def merge(self, terms: Sequence[Term]) -> LanguageBackbone:
        """Merge the weighted sum of scale B A of ``terms`` into the copy's layers, with gradients, and return it."""
        deltas = [(term, self.matrices(term.name)) for term in terms]
        for name, base in self.base.items():
            weight = base
            for term, layers in deltas:
                if name in layers and term.layers(name):
                    a, b, scale = layers[name]
                    weight = weight + term.weight * scale * (b @ a)
            cast(Any, self.copy.layer_module(name)).weight = weight
        vars(self.copy.adapters)["connect"] = lambda modality, tokens, examples: self._connect(terms, modality, tokens)
        return self.copy

    def _connect(self, terms: Sequence[Term], modality: str, tokens: Tensor) -> Tensor:
        stores: Any = self.backbone.adapters.store
        outputs = [t.weight * stores[f"@{t.name}"]["connectors"][modality](tokens) for t in terms if t.inputs]
        return torch.stack(outputs).sum(0)

    def logits(self, examples: Sequence[Example], terms: Sequence[Sequence[Term]]) -> Tensor:
        """Return the answer logits [N, V] of examples, each read alone by its own terms."""
        found = []
        for example, own in zip(examples, terms, strict=True):
            copy = self.merge(own)
            found.append(copy.answer_logits(copy.batch([example]))[0])
        return torch.cat(found)

    def loss(self, examples: Sequence[Example], terms: Sequence[Sequence[Term]]) -> Tensor:
        """Return the mean cross entropy over the answer tokens."""
        labels = self.copy.batch(examples).labels[:, 1:]
        return F.cross_entropy(self.logits(examples, terms), labels[labels != IGNORE_INDEX])


def _taken(layer: nn.Module) -> Tensor:
    """Take a layer's weight out of its parameters, so that any tensor can be put in its place."""
    weight = layer._parameters.pop("weight")
    assert weight is not None
    return weight.detach().clone()
