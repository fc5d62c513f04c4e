"""What backbones share whose language model is one of transformers: adapters, answering, asking."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from micl_backbones.adapters.peft import PeftAdapters, layer_size
from micl_cli.api import Backbone, Example, Layer, PlanError, Resources

_QUESTION = re.compile(r"^\s*(?P<question>[^?\n]+\?)\s*(?:answer:?)?\s*(?P<answer>[^?\n]+?)\s*$", re.IGNORECASE)


class LanguageBackbone(Backbone):
    """A backbone whose adapters are on a model of transformers.

    A subclass gives ``language`` and ``adaptable_names``, and then calls ``super().__init__``.
    """

    adapters: PeftAdapters

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.adapters = PeftAdapters(self, resources.load_part, self.language)

    @property
    @abstractmethod
    def language(self) -> Any:
        """The model whose layers are adapted."""

    @abstractmethod
    def adaptable_names(self) -> Sequence[str]:
        """Return the names, within ``language``, of the linear layers that adapters may add to."""

    @cached_property
    def adaptable_layers(self) -> Sequence[Layer]:
        return [Layer(name, *layer_size(self.language.get_submodule(name))) for name in self.adaptable_names()]

    def layer_module(self, name: str) -> nn.Module:
        module: nn.Module = self.language.get_submodule(name)
        return module

    @property
    def embeddings(self) -> Tensor:
        weight: Tensor = self.language.get_input_embeddings().weight
        return weight

    def enable_gradient_checkpointing(self) -> None:
        self.language.gradient_checkpointing_enable(
            {"use_reentrant": False, "context_fn": self.adapters.checkpoint_contexts}
        )

    # Answers

    @abstractmethod
    def answers(self, examples: Sequence[Example], **search: Any) -> list[str]:
        """Return one answer an example; ``search`` is what ``generate`` of transformers takes."""

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 32, num_beams: int = 1) -> list[str]:
        if not examples:
            return []
        with self.answering():
            return self.answers(examples, max_new_tokens=max_new_tokens, num_beams=num_beams, do_sample=False)

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        own = choices_of(examples, choices)
        with self.answering():
            columns = [self._likelihoods(examples, [_at(texts, k) for texts in own]) for k in range(max(map(len, own)))]
        return normalised(torch.stack(columns, dim=1), list(map(len, own)))

    def _likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> Tensor:
        """Return [B]: the log-likelihood of an answer to each example."""
        batch = self.batch([example.with_answer(text) for example, text in zip(examples, answers, strict=True)])
        logits, labels = self.answer_logits(batch)
        each = torch.log_softmax(logits.float(), -1).gather(1, labels[:, None])[:, 0]
        return each.new_zeros(len(examples)).index_add(0, batch.example_index, each)

    def questions(self, template: str, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        """Return what the base model alone writes for ``template`` with each caption: (question, answer) or None."""
        prompts = [Example(str(i), (template.format(caption=text),)) for i, text in enumerate(captions)]
        with self.adapters.using(None):
            return [_question(text) for text in self.generate(prompts, max_new_tokens=40)]

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Compute without dropout and gradients; the mode that was comes back afterwards."""
        training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.module.train(training)


def choices_of(examples: Sequence[Example], choices: Sequence[str] | None) -> list[Sequence[str]]:
    """Return the choices of each example: ``choices`` for all, or its own. Raises ValueError where one has none."""
    found = [example.choices if choices is None else choices for example in examples]
    if without := [example.id for example, own in zip(examples, found, strict=True) if not own]:
        raise ValueError(f"example {without[0]} has no choices")
    return found


def normalised(totals: Tensor, counts: Sequence[int]) -> Tensor:
    """Return log-probabilities over the first ``counts[b]`` of the log-likelihoods [B, C] of each row, -inf behind."""
    missing = torch.arange(totals.shape[1]) >= torch.tensor(list(counts))[:, None]
    if missing.any():
        totals = totals.masked_fill(missing.to(totals.device), -math.inf)
    return torch.log_softmax(totals, dim=1)


def _at(texts: Sequence[str], place: int) -> str:
    return texts[min(place, len(texts) - 1)]


def matching_layers(named: Iterable[tuple[str, nn.Module]], targets: Sequence[str], types: Any) -> list[str]:
    """Return the names of the linear layers whose last word is one of ``targets``. Raises PlanError where none is."""
    linear = [name for name, layer in named if isinstance(layer, types)]
    if found := [name for name in linear if name.rpartition(".")[2] in targets]:
        return found
    known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
    raise PlanError(f"no layer of the language model is called {', '.join(targets)}", f"It has layers called {known}.")


def has_trainable(module: nn.Module, besides: Sequence[str] = ()) -> bool:
    """Whether any weight is trainable, ``besides`` those below these names: what it makes must not be cached then."""
    skipped = tuple(f"{name}." for name in besides)
    return any(weight.requires_grad and not name.startswith(skipped) for name, weight in module.named_parameters())


def numerics(device: torch.device, dtype: torch.dtype) -> str:
    """Return what a cached tensor's key says of how it was computed; nothing for float32 on a CPU."""
    if device.type == "cpu" and dtype == torch.float32:
        return ""
    return f"-{device.type}-{str(dtype).removeprefix('torch.')}"


def uncast(device: torch.device) -> AbstractContextManager[Any]:
    """Compute in the weights' own precision: what is cached must not depend on where it was first asked for."""
    return torch.autocast(device.type, enabled=False)


def _question(text: str) -> tuple[str, str] | None:
    found = _QUESTION.match(text.strip().partition("\n")[0])  # the model may go on with a further caption
    return (found["question"].strip(), found["answer"]) if found else None
