"""Adapter kinds: how an adapter is built, what it adds to a layer, and what it requires of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from micl_cli.api.selection import TokenMap, layer_index

FROZEN = "frozen"
"""The group of parameters that are saved with an adapter and never trained."""


@dataclass(frozen=True)
class AdapterSpec:
    """The configuration of an adapter: a registered kind, its options, and whether it has its own connectors."""

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
    """The weights of one adapter at one linear layer; their output is added to that of the layer.

    ``mixes_tokens`` is true if the output at one position depends on other positions of the same example, as with a
    gate on the mean of the prompt. ``groups`` maps the first component of a parameter's name to its parameter group;
    parameters that are not listed belong to "lora", and those of the group ``FROZEN`` are never trained. ``adapter`` is
    the name of the adapter that the weights belong to.
    """

    mixes_tokens: ClassVar[bool] = False
    groups: ClassVar[Mapping[str, str]] = {}
    adapter: str = ""

    @abstractmethod
    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        """Return the output to add [..., outputs] for the layer's input [..., inputs]."""

    def low_rank(self) -> tuple[Tensor, Tensor, float] | None:
        """Return (A [r, inputs], B [outputs, r], scale) if the output is exactly scale * B A x, else None."""
        return None


class AdapterKind(ABC):
    """Creates the weights of an adapter. Options are keyword-only constructor parameters."""

    @property
    def prompt_tokens(self) -> int:
        """The number of soft prompt embeddings that precede the content of each example."""
        return 0

    def check(self, layers: Sequence[Layer]) -> None:  # noqa: B027 - most kinds have nothing to check
        """Raise OptionError if an option has no effect on these layers, all those that can be adapted."""

    @abstractmethod
    def layer(self, layer: Layer) -> LayerAdapter | None:
        """Return new weights for a layer, with no effect before training, or None for a layer that is not adapted."""


class AdapterHost(ABC):
    """The interface of a model that adapters are attached to. Every backbone implements it."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of the weights."""

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
        """Return the module of an adaptable layer; adapters add to its output."""

    @property
    @abstractmethod
    def embeddings(self) -> Tensor:
        """[V, size]: the word embeddings of the language model."""

    def default_spec(self) -> AdapterSpec:
        """Return the spec of adapters that are added without one."""
        return AdapterSpec()

    def new_connectors(self) -> Mapping[str, nn.Module]:
        """Return newly initialised connectors by modality: [n, tokens, width] -> [n, tokens, size]."""
        return {}

    def shared_state(self) -> dict[str, Tensor]:
        """Return a CPU copy of the state that all adapters share and each is saved with, such as encoder statistics."""
        return {}

    def load_shared_state(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Load the entries of ``shared_state`` that are not set yet, and return the other entries of ``state``."""
        return state
