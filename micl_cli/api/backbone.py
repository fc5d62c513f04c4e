"""Backbones: one frozen base model, and the named adapters on it.

An adapter is LoRA weights and connector weights under one name. A teacher, an expert and a
router are adapters too, so there is never a second copy of the base model in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from micl_cli.api.losses import answer_loss
from micl_cli.api.task import Example
from micl_cli.api.weights import PresetInfo, Tell
from micl_cli.errors import PlanError

IGNORE_INDEX = -100
"""The label of positions that are not answers: prompts, media and padding."""


class MediaReader(Protocol):
    """Reads an example's medium into its canonical form (see Modality)."""

    def __call__(self, example: Example, options: Mapping[str, Any]) -> Any: ...


class FeatureCache(Protocol):
    """Keeps what a frozen encoder makes of a medium, so that it is computed once.

    ``key`` names encoder and transform; ``compute`` turns examples into a tensor [n, ...].
    Returns [len(examples), ...].
    """

    def __call__(
        self, key: str, examples: Sequence[Example], compute: Callable[[Sequence[Example]], Tensor]
    ) -> Tensor: ...


@dataclass
class Batch:
    """Examples as tensors. ``labels`` [B, L] holds token ids at answer positions, IGNORE_INDEX elsewhere.

    ``inputs`` is the backbone's own affair.
    """

    examples: Sequence[Example]
    labels: Tensor
    inputs: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def example_index(self) -> Tensor:
        """[N]: the example that each answer position belongs to, in ``answer_logits``' order."""
        return (self.labels[:, 1:] != IGNORE_INDEX).nonzero()[:, 0]


class Backbone(ABC):
    """A multimodal language model whose base stays frozen, with adapters by name.

    The flow hands ``read`` and ``features_cache`` over after construction. ``modalities`` names
    what it can take; ``provides`` what strategies may ask of it ("adapters", "text",
    "generate", "choose", "features", "questions", "states"), which one of its models may add to.
    """

    provides: frozenset[str] = frozenset({"adapters", "text", "generate", "choose", "features"})
    modalities: frozenset[str] = frozenset()
    read: MediaReader
    cache: FeatureCache | None = None

    @classmethod
    def defaults(cls, preset: str) -> Mapping[str, Any]:
        """Training settings that suit ``preset`` (batch_size, learning_rate, ...)."""
        return {}

    @classmethod
    def digest(cls, preset: str) -> str:
        """A text that changes when the parts named by ``preset`` do: it belongs to a run's fingerprint."""
        return ""

    @classmethod
    def presets(cls) -> Sequence[PresetInfo]:
        """The models that this backbone knows by name."""
        return ()

    @classmethod
    def fetch(cls, preset: str, tell: Tell) -> None:
        """Get a preset's weights, so that it works without a network. Raises PlanError."""
        raise PlanError(f"there is nothing to fetch for {preset}", "`micl backbones` lists what can be fetched.")

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The torch module that holds every weight."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def place(self, device: torch.device) -> None:
        """Move every weight to ``device``."""
        self.module.to(device)

    def checkpoint_gradients(self) -> None:
        """Trade time for memory: compute activations again in the backward pass."""
        raise TypeError(f"{type(self).__name__} does not checkpoint gradients")

    def calibrate(self, examples: Sequence[Example]) -> None:  # noqa: B027 - most have nothing to set
        """Look at a task's training examples before it is learnt, and set what is set once by data, if anything."""

    # Batches and losses

    @abstractmethod
    def batch(self, examples: Sequence[Example]) -> Batch:
        """Prompts, media and targets as one batch; modalities may be mixed, and may be none."""

    @abstractmethod
    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(logits [N, V], labels [N]) at the N answer positions of the batch, row by row.

        Under the active adapter. Only these positions pass the vocabulary projection.
        """

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(states [N, D], labels [N]): ``answer_logits`` before the vocabulary projection.

        Where ``provides`` has "states" they are small enough to be kept; elsewhere they are the logits themselves.
        """
        return self.answer_logits(batch)

    def project(self, states: Tensor) -> Tensor:
        """The logits [N, V] of ``answer_states``."""
        return states

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy over the answer positions."""
        return answer_loss(*self.answer_logits(batch))

    def text_batch(self, texts: Sequence[str]) -> Batch:
        """Texts without media; every token of a text counts as an answer position."""
        return self.batch([Example(id=f"text-{i}", prompt="", answer=text) for i, text in enumerate(texts)])

    # Answers

    @abstractmethod
    def generate(
        self,
        examples: Sequence[Example],
        *,
        adapters: Sequence[str] | None = None,
        max_new_tokens: int = 32,
        num_beams: int = 1,
    ) -> list[str]:
        """One answer an example, greedily or by beam search, in one call.

        ``adapters`` names the adapter of each example; None answers with the active one.
        """

    @abstractmethod
    def choose(self, examples: Sequence[Example], choices: Sequence[str]) -> Tensor:
        """[B, C] log-probabilities of ``choices`` as whole answers, normalised over the choices."""

    @abstractmethod
    def features(self, examples: Sequence[Example]) -> Tensor:
        """[B, D] frozen vectors of medium and prompt, independent of every adapter."""

    def ask(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        """One (question, short answer) written from each caption by the base language model alone.

        None where what it wrote is not a question and an answer.
        """
        raise TypeError(f"{type(self).__name__} does not write questions")

    def instructions(self) -> Sequence[str]:
        """Texts for instruction-based distillation that come with this backbone; may be empty."""
        return ()

    # Adapters

    @property
    @abstractmethod
    def adapters(self) -> Sequence[str]:
        """The names of all adapters, in the order they were added."""

    @property
    @abstractmethod
    def active(self) -> str | None:
        """The adapter in use; None: the base model alone."""

    @abstractmethod
    def add_adapter(self, name: str, *, seed: int = 0) -> None:
        """Add a fresh adapter that changes nothing yet. Raises ValueError where the name is taken."""

    @abstractmethod
    def activate(self, name: str | None) -> None:
        """Use adapter ``name`` from now on; None uses the base alone. Raises KeyError if unknown."""

    @abstractmethod
    def drop_adapter(self, name: str) -> None:
        """Forget an adapter. Raises KeyError if unknown, ValueError if it is active."""

    @abstractmethod
    def adapter_weights(self, name: str) -> dict[str, nn.Parameter]:
        """The live parameters of an adapter, by a name that is the same for every adapter."""

    @abstractmethod
    def part_of(self, weight: str) -> str:
        """ "lora", or the modality whose connector the weight (a name of adapter_weights) belongs to."""

    def low_rank_pairs(self, adapter: str) -> list[tuple[str, str]]:
        """The names (in adapter_weights) of each adapted layer's LoRA matrices: A [r, in] and B [out, r]."""
        names = self.adapter_weights(adapter)
        return [(name, other) for name in names if (other := name.replace("lora_A", "lora_B")) != name]

    def copy_adapter(self, source: str, target: str) -> None:
        """Make ``target`` (added if missing) equal to ``source``."""
        if target not in self.adapters:
            self.add_adapter(target)
        self.load_adapter(target, self.adapter_state(source))

    def adapter_state(self, name: str) -> dict[str, Tensor]:
        """A copy of an adapter's weights, on the CPU."""
        return {key: weight.detach().cpu().clone() for key, weight in self.adapter_weights(name).items()}

    @torch.no_grad()
    def load_adapter(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Write ``state`` into an adapter. Raises KeyError where names differ."""
        weights = self.adapter_weights(name)
        if weights.keys() != state.keys():
            raise KeyError(f"adapter {name!r}: {sorted(weights.keys() ^ state.keys())[:3]} do not match")
        for key, weight in weights.items():
            weight.copy_(state[key])

    def trainable(self, modalities: Collection[str]) -> dict[str, nn.Parameter]:
        """The active adapter's LoRA weights and the connectors of ``modalities``."""
        if self.active is None:
            return {}
        weights = self.adapter_weights(self.active)
        return {name: weight for name, weight in weights.items() if self.part_of(name) in {"lora", *modalities}}

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Use another adapter for a while, without gradients and dropout; what was comes back after."""
        former, training = self.active, self.module.training
        self.activate(name)
        self.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.activate(former)
            self.module.train(training)
