"""Selections: which adapters are active, with what weight, for which examples and in which layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

LayerRange = Collection[int] | Callable[[str], bool] | None
"""The decoder layers of a Mixture: their indices (from 0), a predicate on layer names, or None for all."""

_INDEX = re.compile(r"\.(\d+)\.")


def layer_index(name: str) -> int | None:
    """Return the index of the decoder layer in a layer's name ("model.layers.3.mlp.up_proj" is 3), or None."""
    match = _INDEX.search(name)
    return int(match[1]) if match else None


def needs_gradient(weights: Tensor) -> bool:
    """Return whether gradients flow into ``weights`` in the current context."""
    return weights.requires_grad and torch.is_grad_enabled()


@dataclass(frozen=True, eq=False)
class Mixture:
    """A weighted sum of adapters, optionally with weights per example.

    ``weights`` is [B, N], with a row for each example of the batch and a column for each name, or [N] for all examples.
    A weight of zero leaves an adapter out. ``layers`` limits the sum to some decoder layers; connectors and soft
    prompts belong to the mixtures of layer 0. ``gates`` holds the expert weights [B, E] of adapters whose gate is
    given from outside, by adapter name. Gradients flow into ``weights`` and ``gates``.
    """

    names: Sequence[str]
    weights: Tensor
    layers: LayerRange = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weights.ndim not in (1, 2) or self.weights.shape[-1] != len(self.names):
            raise ValueError(f"weights of shape {tuple(self.weights.shape)} do not fit {len(self.names)} adapters")

    def applies_to(self, layer: str) -> bool:
        """Return whether the mixture applies to the layer of that name."""
        if self.layers is None:
            return True
        if callable(self.layers):
            return self.layers(layer)
        index = layer_index(layer)
        return index is not None and index in self.layers

    def applies_to_inputs(self, layers: Iterable[str]) -> bool:
        """Return whether the mixture applies to connectors and soft prompts; ``layers`` names all adaptable layers."""
        if callable(self.layers):
            return any(self.layers(name) for name in layers if layer_index(name) == 0)
        return self.layers is None or 0 in self.layers

    @property
    def per_example(self) -> bool:
        """Whether the examples of a batch may have different weights."""
        return self.weights.ndim == 2 or bool(self.gates)

    @property
    def size(self) -> int | None:
        """The batch size that the mixture requires, or None for any."""
        sizes = {len(self.weights)} if self.weights.ndim == 2 else set()
        sizes |= {len(gate) for gate in self.gates.values()}
        return max(sizes, default=None)

    def column(self, column: int, examples: Sequence[int]) -> Tensor:
        """Return [n]: the weight of one of the adapters for each of ``examples``."""
        weights = self.weights[..., column]
        return weights[list(examples)] if weights.ndim else weights.expand(len(examples))

    def key(self, row: int) -> tuple[float, ...]:
        """Return the weights of an example as numbers, equal for examples that can share computation.

        If gradients flow into weights per example, all keys differ, so that each row gets its own gradient.
        """
        weights = self.weights if self.weights.ndim == 1 else self.weights[row]
        tensors = [weights, *(gate[row] for gate in self.gates.values())]
        learnt = self.per_example and any(needs_gradient(tensor) for tensor in tensors)
        numbers = torch.cat([tensor.detach().flatten() for tensor in tensors]).tolist()
        return (*numbers, float(row)) if learnt else tuple(numbers)


Selection = str | Sequence[str | Mixture] | Mapping[str, float] | Mixture | None
"""The active adapters: none (the base model), one, a sum, a weighted sum, or weights per example."""


def as_mixtures(selection: Selection) -> tuple[Mixture, ...]:
    """Return a selection as a sum of mixtures."""
    if selection is None:
        return ()
    if isinstance(selection, Mixture):
        return (selection,)
    if isinstance(selection, str):
        return (Mixture([selection], torch.ones(1)),)
    if isinstance(selection, Mapping):
        return (Mixture(list(selection), torch.tensor(list(selection.values()), dtype=torch.float32)),)
    return tuple(mixture for part in selection for mixture in as_mixtures(part))


def combine(selections: Sequence[Selection]) -> Selection:
    """Return one selection for a batch from ``selections`` for each of its examples.

    Each is None, a name, names, or weights by name. Raises ValueError for mixtures.
    """
    first = selections[0] if selections else None
    if all(selection is first or selection == first for selection in selections):
        return first
    weights = [_weights(selection) for selection in selections]
    names = list(dict.fromkeys(name for each in weights for name in each))
    return Mixture(names, torch.tensor([[each.get(name, 0.0) for name in names] for each in weights]))


def _weights(selection: Selection) -> Mapping[str, float]:
    if selection is None:
        return {}
    if isinstance(selection, str):
        return {selection: 1.0}
    if isinstance(selection, Mapping):
        return selection
    if isinstance(selection, Mixture) or any(isinstance(part, Mixture) for part in selection):
        raise ValueError("a mixture applies to a whole batch, not to one of its examples")
    weights: dict[str, float] = {}
    for name in selection:
        weights[str(name)] = weights.get(str(name), 0.0) + 1.0
    return weights


@dataclass(frozen=True, eq=False)
class TokenMap:
    """The example that each position of a forward pass belongs to.

    ``examples`` holds indices [rows, width], or [rows, 1] if each row belongs to one example; those of padding are
    arbitrary. A pass with k times as many rows has k adjacent ones for each, as in beam search. ``prompt``
    [rows, width] marks prompt positions in the pass that reads the prompts, and is None in the decoding passes that
    follow. ``count`` is the number of examples. ``gates`` are those of the active mixtures. ``means`` caches
    ``prompt_mean`` by layer.
    """

    examples: Tensor
    count: int
    prompt: Tensor | None = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    means: dict[int, Tensor] = field(default_factory=dict)

    def following(self, examples: Tensor) -> TokenMap:
        """Return the map of a decoding pass that follows the prompts, with the cached means of the prompts."""
        return replace(self, examples=examples if examples.ndim == 2 else examples[:, None], prompt=None)

    def per_example(self, table: Tensor, x: Tensor) -> Tensor:
        """Return the row of ``table`` [count, D] for the example of each vector, broadcastable to ``x``.

        ``x`` is [rows, width, ...], or [rows * width, ...] in layers whose input is flattened.
        """
        if x.ndim > 2:
            return table[self.examples.repeat_interleave(len(x) // len(self.examples), dim=0)]
        return table[self.examples.flatten().repeat_interleave(len(x) // self.examples.numel())]

    def prompt_mean(self, owner: object, x: Tensor) -> Tensor:
        """Return [count, D]: the mean of ``x``, the input of the layer ``owner``, over each example's prompt positions.

        In the decoding passes that follow the prompts, returns the means of the first pass.
        """
        if not self._reads_prompts(x):
            return self.means[id(owner)]
        assert self.prompt is not None
        if x.ndim > 2:
            x = x[:: len(x) // len(self.prompt)]  # all beams of an example have the same prompt
        mask = self.prompt.flatten()
        examples = self.examples.expand_as(self.prompt).flatten()[mask]
        vectors = x.reshape(-1, x.shape[-1])[mask].float()
        sums = x.new_zeros(self.count, x.shape[-1], dtype=torch.float32).index_add(0, examples, vectors)
        counts = torch.bincount(examples, minlength=self.count).clamp_min(1)
        self.means[id(owner)] = mean = (sums / counts[:, None]).to(x.dtype)
        return mean

    def _reads_prompts(self, x: Tensor) -> bool:
        if self.prompt is None:
            return False
        return x.shape[1] == self.prompt.shape[1] if x.ndim > 2 else len(x) == self.prompt.numel()


def sizes_of(mixtures: Sequence[Mixture]) -> Iterator[int]:
    """Yield the batch sizes that mixtures with weights per example require."""
    for mixture in mixtures:
        if mixture.size is not None:
            yield mixture.size
