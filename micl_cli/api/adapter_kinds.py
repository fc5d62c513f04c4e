"""Adapter kinds: what an adapter is made of, what it adds to a layer, and what it needs of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from micl_cli.api.selection import TokenMap, layer_index


@dataclass(frozen=True)
class AdapterSpec:
    """What an adapter is made of: a registered kind, its options, and whether it has connectors of its own."""

    kind: str = "lora"
    options: Mapping[str, Any] = field(default_factory=dict)
    connectors: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"kind": self.kind, "options": dict(self.options), "connectors": self.connectors}


@dataclass(frozen=True)
class Layer:
    """A linear layer of the language model that adapters may add to: [..., inputs] -> [..., outputs]."""

    name: str
    inputs: int
    outputs: int

    @property
    def index(self) -> int | None:
        """The index of its decoder layer, from 0."""
        return layer_index(self.name)


class LayerAdapter(nn.Module, ABC):
    """What one adapter adds to the output of one linear layer.

    ``mixes_tokens`` tells that what it adds at one position depends on other positions of the same example, as a gate
    on the mean of the prompt does. ``groups`` gives the group of parameters by the first word of their name, "lora"
    where it is not listed. ``adapter`` is the name of the adapter that it belongs to.
    """

    mixes_tokens: ClassVar[bool] = False
    groups: ClassVar[Mapping[str, str]] = {}
    adapter: str = ""

    @abstractmethod
    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        """Return what is added [..., outputs] for the layer's input [..., inputs]."""

    def low_rank(self) -> tuple[Tensor, Tensor, float] | None:
        """Return (A [r, inputs], B [outputs, r], scale) where it adds scale * B A x and no more; else None."""
        return None


class AdapterKind(ABC):
    """How the weights of an adapter are made. Options are keyword-only constructor parameters."""

    @property
    def prompt_tokens(self) -> int:
        """The number of input embeddings that stand before the content of each example."""
        return 0

    @abstractmethod
    def layer(self, layer: Layer) -> LayerAdapter | None:
        """Return fresh weights for a layer that change nothing yet; None where the adapter leaves it alone."""


class AdapterHost(ABC):
    """What the adapters need of the model that they are on. A backbone is one."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The torch module that holds every weight."""

    @property
    @abstractmethod
    def adaptable_layers(self) -> Sequence[Layer]:
        """The linear layers that adapters may add to, in the model's order."""

    @abstractmethod
    def layer_module(self, name: str) -> nn.Module:
        """Return the module of an adaptable layer, whose output is what adapters add to."""

    @property
    @abstractmethod
    def embeddings(self) -> Tensor:
        """[V, size]: the word embeddings of the language model."""

    def default_spec(self) -> AdapterSpec:
        """Return what an adapter is made of where nothing else is said."""
        return AdapterSpec()

    def new_connectors(self) -> Mapping[str, nn.Module]:
        """Return fresh connectors by modality: [n, tokens, width] -> [n, tokens, size]."""
        return {}

    def shared_state(self) -> dict[str, Tensor]:
        """Return a copy, on the CPU, of what belongs to no adapter and is kept with each: statistics of encoders."""
        return {}

    def load_shared_state(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take over what ``shared_state`` gave, where nothing is there yet, and return the rest of ``state``."""
        return state
