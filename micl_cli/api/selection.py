"""Selections: which adapters act, how much, for which example and in which layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

LayerRange = Collection[int] | Callable[[str], bool] | None
"""The decoder layers in which a Mixture acts: their indices (from 0), a predicate on layer names, or None for all."""

_INDEX = re.compile(r"\.(\d+)\.")


def layer_index(name: str) -> int | None:
    """Return the index of the decoder layer in a layer's name ("model.layers.3.mlp.up_proj" is 3), or None."""
    found = _INDEX.search(name)
    return int(found[1]) if found else None


def needs_gradient(weights: Tensor) -> bool:
    """Whether gradients flow into weights here."""
    return weights.requires_grad and torch.is_grad_enabled()


@dataclass(frozen=True, eq=False)
class Mixture:
    """A weighted sum of adapters, with weights per example.

    ``weights`` is [B, N], one row an example of the batch and one column a name, or [N] for all examples alike. A
    weight of zero leaves an adapter out. ``layers`` limits the sum to some decoder layers; connectors and soft prompts
    follow the mixtures that act in layer 0. ``gates`` [B, E] gives the experts of an adapter with a given gate, by the
    adapter's name. Gradients flow into ``weights`` and ``gates``.
    """

    names: Sequence[str]
    weights: Tensor
    layers: LayerRange = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weights.ndim not in (1, 2) or self.weights.shape[-1] != len(self.names):
            raise ValueError(f"weights of shape {tuple(self.weights.shape)} do not fit {len(self.names)} adapters")

    def acts_in(self, layer: str) -> bool:
        """Whether the mixture acts in a layer of that name."""
        if self.layers is None:
            return True
        if callable(self.layers):
            return self.layers(layer)
        index = layer_index(layer)
        return index is not None and index in self.layers

    def acts_on_inputs(self, layers: Iterable[str]) -> bool:
        """Whether it holds for connectors and soft prompts; ``layers`` names all adaptable layers."""
        if callable(self.layers):
            return any(self.layers(name) for name in layers if layer_index(name) == 0)
        return self.layers is None or 0 in self.layers

    @property
    def per_example(self) -> bool:
        """Whether examples of one batch may differ."""
        return self.weights.ndim == 2 or bool(self.gates)

    @property
    def size(self) -> int | None:
        """The number of examples that it was made for; None where it suits any batch."""
        sizes = {len(self.weights)} if self.weights.ndim == 2 else set()
        sizes |= {len(gate) for gate in self.gates.values()}
        return max(sizes, default=None)

    def column(self, column: int, examples: Sequence[int]) -> Tensor:
        """Return [n]: the weight of one of the adapters for each of ``examples``."""
        weights = self.weights[..., column]
        return weights[list(examples)] if weights.ndim else weights.expand(len(examples))

    def key(self, row: int) -> tuple[float, ...]:
        """Return the weights of an example as numbers: two examples with the same are read alike.

        Where gradients flow into weights per example no two are the same, so that each row gets its own gradient.
        """
        own = [self.weights if self.weights.ndim == 1 else self.weights[row], *(g[row] for g in self.gates.values())]
        learnt = self.per_example and any(needs_gradient(tensor) for tensor in own)
        numbers = torch.cat([tensor.detach().flatten() for tensor in own]).tolist()
        return (*numbers, float(row)) if learnt else tuple(numbers)


Selection = str | Sequence[str | Mixture] | Mapping[str, float] | Mixture | None
"""What acts: nothing (the base model), one adapter, a sum, a weighted sum, or weights per example."""


def as_mixtures(selection: Selection) -> tuple[Mixture, ...]:
    """Return a selection as the mixtures whose sum it is."""
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
    """Return the selection that gives each example of a batch its own.

    ``selections`` holds one an example: None, a name, names, or weights by name. Raises ValueError for mixtures.
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
        raise ValueError("a mixture holds for a whole batch, not for one of its examples")
    found: dict[str, float] = {}
    for name in selection:
        found[str(name)] = found.get(str(name), 0.0) + 1.0
    return found


@dataclass(frozen=True, eq=False)
class TokenMap:
    """Which example each position of a forward pass belongs to.

    ``examples`` is [rows, width], or [rows, 1] where a whole row belongs to one example; padding may have any. A pass
    of k times as many rows holds k neighbouring ones for each, as beam search makes them. ``prompt`` [rows, width]
    marks the positions of prompts in the pass that reads them; None in the passes that follow it. ``count`` is the
    number of examples. ``gates`` are those of the mixtures that act.
    """

    examples: Tensor
    count: int
    prompt: Tensor | None = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    means: dict[int, Tensor] = field(default_factory=dict)

    def following(self, examples: Tensor) -> TokenMap:
        """Return the map of a pass that follows the prompts: same examples, remembered means."""
        return replace(self, examples=examples if examples.ndim == 2 else examples[:, None], prompt=None)

    def per_example(self, table: Tensor, x: Tensor) -> Tensor:
        """Return the line of ``table`` [count, D] of each vector's example, so that it can be multiplied with ``x``.

        ``x`` is [rows, width, ...], or [rows * width, ...] in layers that are given the vectors behind one another.
        """
        if x.ndim > 2:
            return table[self.examples.repeat_interleave(len(x) // len(self.examples), dim=0)]
        return table[self.examples.flatten().repeat_interleave(len(x) // self.examples.numel())]

    def prompt_mean(self, owner: object, x: Tensor) -> Tensor:
        """Return [count, D]: the mean of each example's prompt positions of ``x``, as ``owner`` (a layer) reads them.

        In the passes that follow the prompts the means of the first pass are returned.
        """
        if not self._reads_prompts(x):
            return self.means[id(owner)]
        assert self.prompt is not None
        if x.ndim > 2:
            x = x[:: len(x) // len(self.prompt)]  # beams begin alike
        positions, where = x.reshape(-1, x.shape[-1]), self.prompt.flatten()
        examples = self.examples.expand_as(self.prompt).flatten()[where]
        sums = x.new_zeros(self.count, x.shape[-1], dtype=torch.float32).index_add(
            0, examples, positions[where].float()
        )
        counts = torch.bincount(examples, minlength=self.count).clamp_min(1)
        self.means[id(owner)] = mean = (sums / counts[:, None]).to(x.dtype)
        return mean

    def _reads_prompts(self, x: Tensor) -> bool:
        if self.prompt is None:
            return False
        return x.shape[1] == self.prompt.shape[1] if x.ndim > 2 else len(x) == self.prompt.numel()


def sizes_of(mixtures: Sequence[Mixture]) -> Iterator[int]:
    """Yield the batch sizes that per-example mixtures were made for."""
    for mixture in mixtures:
        if mixture.size is not None:
            yield mixture.size
