"""Backbones: one frozen base model, and the adapters on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from micl_cli.api.adapter_kinds import AdapterHost
from micl_cli.api.adapters import Adapters
from micl_cli.api.losses import answer_loss
from micl_cli.api.presets import PresetInfo, Tell
from micl_cli.api.resources import Resources
from micl_cli.api.statistics import LayerStatistics
from micl_cli.api.task import Example, Media
from micl_cli.errors import PlanError

IGNORE_INDEX = -100
"""The label of positions that are not answers: prompts, media and padding."""


class MediaReader(Protocol):
    """Reads a medium into its canonical form (see Modality)."""

    def __call__(self, medium: Media, options: Mapping[str, Any]) -> Any: ...


class FeatureCache(Protocol):
    """Keeps what a frozen encoder makes of a medium, so that it is computed once.

    ``key`` names encoder and transform; ``compute`` turns media into a tensor [n, ...]. Returns [len(media), ...].
    """

    def __call__(self, key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], Tensor]) -> Tensor: ...


@dataclass
class Batch:
    """Examples as tensors. ``labels`` [B, L] holds token ids at answer positions, IGNORE_INDEX elsewhere.

    ``groups`` names parts of the batch by the indices of their examples, for a strategy that adds some. ``inputs`` is
    the backbone's own affair; it holds for the selection of adapters under which the batch was made.
    """

    examples: Sequence[Example]
    labels: Tensor
    inputs: dict[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def example_index(self) -> Tensor:
        """[N]: the example that each answer position belongs to, in ``answer_logits``' order."""
        return (self.labels[:, 1:] != IGNORE_INDEX).nonzero()[:, 0]

    def positions(self, group: str) -> Tensor:
        """Return [N]: whether each answer position belongs to an example of a group."""
        members = torch.zeros(len(self), dtype=torch.bool, device=self.labels.device)
        members[list(self.groups[group])] = True
        return members[self.example_index]


class Backbone(AdapterHost, LayerStatistics):
    """A multimodal language model whose base stays frozen, with adapters by name.

    ``read`` and ``cache`` are handed over after construction. ``modalities`` names what it can take; ``provides``
    what strategies may ask of it ("adapters", "text", "generate", "choices", "features", "questions", "states"),
    which one of its models may add to. The constructor takes the preset or checkpoint that the
    user named, and keyword-only options; ``resources`` is one of its arguments.
    """

    provides: frozenset[str] = frozenset({"adapters", "text", "generate", "choices", "features"})
    modalities: frozenset[str] = frozenset()
    read: MediaReader
    cache: FeatureCache | None = None
    adapters: Adapters

    @classmethod
    def defaults(cls, preset: str, resources: Resources) -> Mapping[str, Any]:
        """Return training settings that suit ``preset`` (batch_size, learning_rate, ...)."""
        return {}

    @classmethod
    def digest(cls, preset: str, resources: Resources) -> str:
        """Return a text that changes when the parts named by ``preset`` do: it belongs to a run's fingerprint."""
        return ""

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        """Return the models that this backbone knows by name."""
        return ()

    @classmethod
    def fetch(cls, preset: str, tell: Tell, resources: Resources) -> None:
        """Get a preset's weights, so that it works without a network. Raises PlanError."""
        raise PlanError(f"there is nothing to fetch for {preset}", "`micl backbones` lists what can be fetched.")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def place(self, device: torch.device) -> None:
        """Move every weight to ``device``."""
        self.module.to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Trade time for memory: compute activations again in the backward pass."""
        raise TypeError(f"{type(self).__name__} does not checkpoint gradients")

    def check(self, examples: Sequence[Example]) -> None:
        """Raise PlanError where the model cannot take the content of an example; see ``--dry-run``."""

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Set what is set once by data, from the training examples of a stage, before it is learnt."""

    # Batches and losses

    @abstractmethod
    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        """Return content and targets as one batch; modalities may be mixed, and may be none."""

    @abstractmethod
    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (logits [N, V], labels [N]) at the N answer positions of the batch, example by example.

        By the selection that acts. Only these positions pass the vocabulary projection.
        """

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (states [N, D], labels [N]): ``answer_logits`` before the vocabulary projection.

        Where ``provides`` has "states" they are small enough to be kept; elsewhere they are the logits themselves.
        """
        return self.answer_logits(batch)

    def project(self, states: Tensor) -> Tensor:
        """Return the logits [N, V] of ``answer_states``."""
        return states

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy over the answer tokens."""
        return answer_loss(*self.answer_logits(batch))

    def text_batch(self, texts: Sequence[str]) -> Batch:
        """Return texts without media as a batch; every token of a text counts as an answer position."""
        return self.batch([Example(id=f"text-{i}", answer=text) for i, text in enumerate(texts)])

    # Answers

    @abstractmethod
    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 32, num_beams: int = 1) -> list[str]:
        """Return one answer an example, greedily or by beam search, by the selection that acts."""

    @abstractmethod
    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        """Return [B, C]: log-probabilities of ``choices`` as whole answers, normalised over an example's choices.

        None: each example's own choices; where it has fewer than another, the rest of its row is -inf.
        """

    @abstractmethod
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Return [B, D]: frozen vectors of content, independent of every adapter."""

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        """Return one (question, short answer) written from each caption by the base language model alone.

        None where what it wrote is not a question and an answer.
        """
        raise TypeError(f"{type(self).__name__} does not write questions")

    def instructions(self) -> Sequence[str]:
        """Return texts for instruction-based distillation that come with this backbone; may be empty."""
        return ()

    # Statistics of adapted layers

    def statistics_layers(self) -> Sequence[tuple[str, nn.Module]]:
        return [(layer.name, self.layer_module(layer.name)) for layer in self.adaptable_layers]
