"""Backbones: a frozen base model and its adapters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from micl_cli.api.adapter_kinds import AdapterHost
from micl_cli.api.adapters import Adapters
from micl_cli.api.export import ExportRequest, ExportSummary
from micl_cli.api.losses import answer_loss
from micl_cli.api.presets import FetchProgress, PresetInfo
from micl_cli.api.resources import Resources
from micl_cli.api.statistics import LayerStatistics
from micl_cli.api.task import Example, Media
from micl_cli.errors import PlanError

IGNORE_INDEX = -100
"""The label of positions that are not answers: prompts, media and padding."""


class MediaReader(Protocol):
    """Reads a medium into its canonical form (see Modality)."""

    def __call__(self, medium: Media, options: Mapping[str, Any]) -> Any: ...


class InspectedMedium(NamedTuple):
    """A medium of a prepared task, and what its modality found in it, such as "width" or "seconds"."""

    medium: Media
    facts: Mapping[str, Any]


class MediumFault(NamedTuple):
    """Why a backbone cannot process a medium; if ``partial``, it can, but leaves out what the reason says."""

    medium: Media
    reason: str
    partial: bool = False


class FeatureCache(Protocol):
    """Caches the outputs of frozen encoders, so that each medium is encoded once.

    ``key`` identifies encoder and transform; ``compute`` turns media into a tensor [n, ...]. If it has an attribute
    ``concurrent`` that is true, it may run in a thread while the model learns. Returns [len(media), ...].
    """

    def __call__(self, key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], Tensor]) -> Tensor: ...


@dataclass
class Batch:
    """Examples as tensors. ``labels`` [B, L] holds token ids at answer positions, IGNORE_INDEX elsewhere.

    ``groups`` holds named subsets of the batch as indices of examples, for strategies that add examples. ``inputs`` is
    private to the backbone and valid only for the selection of adapters that was active when the batch was built.
    """

    examples: Sequence[Example]
    labels: Tensor
    inputs: dict[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def example_index(self) -> Tensor:
        """[N]: the index of the example that each answer position belongs to, in the order of ``answer_logits``."""
        return (self.labels[:, 1:] != IGNORE_INDEX).nonzero()[:, 0]

    def positions(self, group: str) -> Tensor:
        """Return a mask [N] of the answer positions that belong to examples of a group."""
        members = torch.zeros(len(self), dtype=torch.bool, device=self.labels.device)
        members[list(self.groups[group])] = True
        return members[self.example_index]


class Backbone(AdapterHost, LayerStatistics):
    """A multimodal language model with a frozen base and named adapters.

    ``read`` and ``cache`` are set after construction. ``modalities`` names the supported modalities; ``provides`` the
    capabilities that strategies may require ("adapters", "text", "generate", "choices", "features", "questions",
    "states", "penalties"), which an instance may extend for its model. The constructor takes the preset or checkpoint
    that the user chose, ``resources``, and options as keyword-only parameters.
    """

    provides: frozenset[str] = frozenset({"adapters", "text", "generate", "choices", "features"})
    modalities: frozenset[str] = frozenset()
    read: MediaReader
    cache: FeatureCache | None = None
    adapters: Adapters

    @classmethod
    def defaults(cls, preset: str, resources: Resources) -> Mapping[str, Any]:
        """Return the default training settings for ``preset`` (batch_size, learning_rate, ...)."""
        return {}

    @classmethod
    def resolve(cls, preset: str, resources: Resources) -> str:
        """Return ``preset`` as it is recorded in plans: with absolute paths and, where possible, a pinned commit."""
        return preset

    @classmethod
    def digest(cls, preset: str, resources: Resources) -> str:
        """Return a string that changes when the weights or components of ``preset`` do, for the run's fingerprint.

        Runs whose plan has another digest are not continued. Raises PlanError if the weights are known to be damaged.
        """
        return ""

    @classmethod
    def former_digests(cls, preset: str, resources: Resources) -> Sequence[str]:
        """Return the strings that earlier versions of ``digest`` returned for the same weights and components."""
        return ()

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        """Return the models that this backbone offers by name."""
        return ()

    @classmethod
    def fetch(cls, preset: str, progress: FetchProgress, resources: Resources) -> None:
        """Download the weights of a preset, so that it works without a network. Raises PlanError."""
        raise PlanError(f"there is nothing to fetch for {preset}", "`micl backbones` lists what can be fetched.")

    @classmethod
    def download_missing(cls, preset: str, progress: FetchProgress, resources: Resources) -> None:
        """Download, as ``fetch`` does, what a run may download by itself, before ``digest`` is called."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.module.parameters()).device

    def place(self, device: torch.device) -> None:
        """Move all weights to ``device``."""
        self.module.to(device)

    def enable_gradient_checkpointing(self) -> None:
        """Trade time for memory: recompute activations in the backward pass."""
        raise TypeError(f"{type(self).__name__} does not support gradient checkpointing")

    def check(self, examples: Sequence[Example]) -> None:
        """Raise PlanError if the model cannot process the content of an example, also for ``--dry-run``."""

    def check_media(self, media: Sequence[InspectedMedium]) -> Iterable[MediumFault]:
        """Return the media that the model cannot process, or of which it reads only a part, without reading files.

        Called with the media of each task before learning, also for ``--dry-run``. Media of which facts are missing
        are to be passed over.
        """
        return ()

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Compute the state that is set once from data, on the training examples of a stage, before it is learnt."""

    def reset_calibration(self) -> None:
        """Undo ``calibrate``, so that an earlier stage can be loaded after a later one."""

    # Batches and losses

    @abstractmethod
    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        """Return the content and targets of examples as one batch, of any mix of modalities or text alone."""

    @abstractmethod
    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (logits [N, V], labels [N]) at the N answer positions of the batch, example by example.

        Uses the active selection. Only these positions are projected to the vocabulary.
        """

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (states [N, D], labels [N]): ``answer_logits`` before the vocabulary projection.

        If ``provides`` contains "states", these are hidden states, small enough to store; otherwise, the logits.
        """
        return self.answer_logits(batch)

    def project(self, states: Tensor) -> Tensor:
        """Return the logits [N, V] of ``answer_states``."""
        return states

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy over answer tokens."""
        return answer_loss(*self.answer_logits(batch))

    def text_batch(self, texts: Sequence[str]) -> Batch:
        """Return texts without media as a batch in which every token is an answer position."""
        return self.batch([Example(id=f"text-{i}", answer=text) for i, text in enumerate(texts)])

    # Answers

    @abstractmethod
    def generate(
        self,
        examples: Sequence[Example],
        *,
        max_new_tokens: int = 32,
        num_beams: int = 1,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
    ) -> list[str]:
        """Return one answer for each example, by greedy or beam search, using the active selection.

        The penalties are passed only to a backbone that provides "penalties". For each token that already occurs in the
        answer (not in the prompt), ``repetition_penalty`` divides its score if that is positive, and multiplies it if
        negative (Keskar et al., arXiv 1909.05858). The score of a beam is the sum of its log-probabilities divided by
        its length to the power of ``length_penalty``.

        Answers may be of type :class:`Answer`, so that reports show how many were cut at ``max_new_tokens``.
        """

    def stream(self, example: Example, receive: Callable[[str], None], **decoding: Any) -> str:
        """Return the answer of ``generate`` to one example, and pass its pieces to ``receive`` while it is generated.

        The pieces joined are the answer. ``receive`` may raise an exception, which ends generation. The default, for
        a backbone that does not stream, passes the answer on as one piece.
        """
        (text,) = self.generate([example], **decoding)
        receive(str(text))
        return text

    def answer_lengths(self, texts: Sequence[str]) -> Sequence[int] | None:
        """Return the number of tokens of each text as an answer, without the token that ends it; None if unknown.

        Used to warn of answers that are longer than ``max_new_tokens`` before anything is learnt.
        """
        return None

    @abstractmethod
    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        """Return [B, C]: log-probabilities of ``choices`` as whole answers, normalised over an example's choices.

        None stands for each example's own choices; the row of an example with fewer choices is padded with -inf.
        """

    @abstractmethod
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Return [B, D]: feature vectors of the content, computed by frozen weights and independent of adapters."""

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        """Return a (question, short answer) for each caption, generated by the base language model without adapters.

        An entry is None if the generated text is not a question with an answer.
        """
        raise TypeError(f"{type(self).__name__} does not generate questions")

    def instructions(self) -> Sequence[str]:
        """Return the texts for instruction-based distillation that ship with this backbone; may be empty."""
        return ()

    # Exports

    def export(self, folder: Path, request: ExportRequest) -> ExportSummary:
        """Write adapters, connectors and, if they are merged, weights to ``folder`` for use without a run store.

        The adapters of the request exist; the backbone is not used afterwards. Raises PlanError with the reason if the
        format cannot hold them, before anything is written.
        """
        hint = "Use the run itself: micl ask, micl serve, micl eval."
        raise PlanError(f"a model of the backbone {type(self).__name__} cannot be exported", hint)

    def load_exported(self, folder: Path, adapters: Mapping[str, str]) -> None:
        """Add the adapters that ``export`` wrote to ``folder``; ``adapters`` maps their names to folders within it.

        Raises PlanError if a file is missing, damaged or does not fit the model.
        """
        raise PlanError(f"the backbone {type(self).__name__} cannot load exports", "Use another version of its plugin.")

    # Statistics of adapted layers

    def statistics_layers(self) -> Sequence[tuple[str, nn.Module]]:
        return [(layer.name, self.layer_module(layer.name)) for layer in self.adaptable_layers]
