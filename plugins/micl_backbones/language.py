"""Base class of the backbones on transformers: adapters, generation, scoring of choices, writing of questions."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from micl_backbones.adapters.peft import PeftAdapters, layer_size
from micl_backbones.streaming import AnswerStream
from micl_cli.api import Answer, Backbone, Example, Layer, PlanError, Resources, TextTokenizer, nearest

_QUESTION = re.compile(r"^\s*(?P<question>[^?\n]+\?)\s*(?:answer:?)?\s*(?P<answer>[^?\n]+?)\s*$", re.IGNORECASE)


class LanguageBackbone(Backbone):
    """A backbone whose adapters are on a transformers model.

    A subclass makes ``language`` and ``adaptable_names`` available, then calls ``super().__init__``.
    """

    adapters: PeftAdapters

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.adapters = PeftAdapters(self, resources.load_part, self.language)

    @property
    @abstractmethod
    def language(self) -> Any:
        """The transformers model whose layers are adapted."""

    @abstractmethod
    def adaptable_names(self) -> Sequence[str]:
        """Return the names within ``language`` of the linear layers that can be adapted."""

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

    def load_exported(self, folder: Path, adapters: Mapping[str, str]) -> None:
        from micl_backbones.export.peft_files import load_adapters

        load_adapters(self.adapters, folder, adapters)

    # Answers

    @property
    @abstractmethod
    def texts(self) -> TextTokenizer:
        """The encoder of users' texts."""

    def answer_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.texts.encode(texts)]

    @abstractmethod
    def answers(self, examples: Sequence[Example], **search: Any) -> Sequence[Answer]:
        """Generate one answer per example; ``search`` holds arguments of ``generate`` in transformers.

        A ``streamer`` among them, an AnswerStream, receives the tokens of the answer to a single example.
        """

    def generate(
        self,
        examples: Sequence[Example],
        *,
        max_new_tokens: int = 32,
        num_beams: int = 1,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
    ) -> list[str]:
        if not examples:
            return []
        search: dict[str, Any] = {"max_new_tokens": max_new_tokens, "num_beams": num_beams, "do_sample": False}
        if num_beams > 1:
            search["length_penalty"] = length_penalty
        if repetition_penalty != 1.0:
            search["repetition_penalty"] = repetition_penalty
        with self.evaluation_mode():
            return list(self.answers(examples, **search))

    def stream(self, example: Example, receive: Callable[[str], None], **decoding: Any) -> str:
        """See Backbone. The answer of a beam search is passed on as one piece: a beam may be dropped until the end."""
        if decoding.get("num_beams", 1) > 1:
            return super().stream(example, receive, **decoding)
        stream = AnswerStream(lambda ids: self.texts.decode([ids])[0], receive)
        search = {"max_new_tokens": 32, "num_beams": 1, "do_sample": False, **decoding}
        search.pop("length_penalty", None)
        with self.evaluation_mode():
            (answer,) = self.answers([example], **search, streamer=stream)
        stream.finish(answer)
        return answer

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        own = choices_of(examples, choices)
        with self.evaluation_mode():
            columns = [
                self._log_likelihoods(examples, [_choice_at(texts, k) for texts in own])
                for k in range(max(map(len, own)))
            ]
        return normalised_log_probs(torch.stack(columns, dim=1), list(map(len, own)))

    def _log_likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> Tensor:
        """Return [B]: the log-likelihood of one answer for each example."""
        batch = self.batch([example.with_answer(text) for example, text in zip(examples, answers, strict=True)])
        logits, labels = self.answer_logits(batch)
        each = torch.log_softmax(logits.float(), -1).gather(1, labels[:, None])[:, 0]
        return each.new_zeros(len(examples)).index_add(0, batch.example_index, each)

    def questions_from_template(self, template: str, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        """Generate (question, answer) or None for each caption, with the base model alone and a prompt ``template``."""
        prompts = [Example(str(i), (template.format(caption=text),)) for i, text in enumerate(captions)]
        with self.adapters.using(None):
            return [_question(text) for text in self.generate(prompts, max_new_tokens=40)]

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Compute without dropout and gradients; the former mode is restored afterwards."""
        training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.module.train(training)


def generation_arguments(search: Mapping[str, Any], prompt_length: int) -> dict[str, Any]:
    """Return arguments for ``generate`` of transformers that penalise repetitions within the answer only.

    By default, transformers also counts the tokens of the prompt, and padding, which depends on the rest of the batch.
    """
    arguments = dict(search)
    if penalty := arguments.pop("repetition_penalty", None):
        from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

        processor = RepetitionPenaltyLogitsProcessor(float(penalty), prompt_ignore_length=prompt_length)
        arguments["logits_processor"] = LogitsProcessorList([processor])
    return arguments


def answers_of(
    texts: Sequence[str], ids: Sequence[Sequence[int]], ends: Collection[int], max_new_tokens: int
) -> list[Answer]:
    """Return generated ``texts`` as answers, which were cut where their token ``ids`` have none of ``ends``."""
    whole = [len(row) < max_new_tokens or not set(ends).isdisjoint(row) for row in ids]
    return [Answer(text, cut=not each) for text, each in zip(texts, whole, strict=True)]


def choices_of(examples: Sequence[Example], choices: Sequence[str] | None) -> list[Sequence[str]]:
    """Return the choices of each example: ``choices`` for all, or its own. Raises ValueError if one has none."""
    per_example = [example.choices if choices is None else choices for example in examples]
    if without := [example.id for example, own in zip(examples, per_example, strict=True) if not own]:
        raise ValueError(f"example {without[0]} has no choices")
    return per_example


def normalised_log_probs(totals: Tensor, counts: Sequence[int]) -> Tensor:
    """Normalise the first ``counts[b]`` log-likelihoods of each row b of ``totals`` [B, C]; the rest becomes -inf."""
    missing = torch.arange(totals.shape[1]) >= torch.tensor(list(counts))[:, None]
    if missing.any():
        totals = totals.masked_fill(missing.to(totals.device), -math.inf)
    return torch.log_softmax(totals, dim=1)


def _choice_at(texts: Sequence[str], index: int) -> str:
    """Return the choice of that index, or the last one where an example has fewer."""
    return texts[min(index, len(texts) - 1)]


def matching_layers(
    model: Any, targets: Sequence[str], types: Any, *, within: str = "", lenient: bool = False
) -> list[str]:
    """Return the linear layers whose name is, or ends with a dot and, one of ``targets``.

    ``within`` is the name of the language model in ``model``. The projections from and to the vocabulary are no
    targets. Raises PlanError for a target without a layer or, if ``lenient``, only if none has one.
    """
    head = model.get_output_embeddings()
    prefix = f"{within}." if within else ""
    named = [
        (n, m) for n, m in model.named_modules() if n.startswith(prefix) and isinstance(m, types) and m is not head
    ]
    linear = [name for name, _ in named]
    unmatched = [target for target in targets if not any(_is_named(name, target) for name in linear)]
    matching = [name for name in linear if any(_is_named(name, target) for target in targets)]
    if not matching or (unmatched and not lenient):
        raise _no_layer(model, linear, unmatched or list(targets))
    return matching


def _is_named(layer: str, target: str) -> bool:
    return layer == target or layer.endswith(f".{target}")


def _no_layer(model: Any, linear: Sequence[str], targets: Sequence[str]) -> PlanError:
    """Return the error for targets that cannot be adapted, with the reason."""
    vocabulary = {id(module) for module in (model.get_input_embeddings(), model.get_output_embeddings())}
    outside = [name for name, module in model.named_modules() if id(module) in vocabulary]
    if found := [target for target in targets if any(_is_named(name, target) for name in outside)]:
        return PlanError(
            f"{found[0]} cannot be adapted: it is a projection from or to the vocabulary",
            "Leave it out: adapters are on the linear layers in between.",
        )
    known = sorted({name.rpartition(".")[2] for name in linear})
    hint = f"{nearest(targets[0], known)} Its linear layers: {', '.join(known)}."
    return PlanError(f"no linear layer of the language model is called {', '.join(map(repr, targets))}", hint.strip())


def has_trainable(module: nn.Module, ignored: Sequence[str] = ()) -> bool:
    """Whether any weight outside the ``ignored`` submodules is trainable, so that outputs must not be cached."""
    skipped = tuple(f"{name}." for name in ignored)
    return any(weight.requires_grad and not name.startswith(skipped) for name, weight in module.named_parameters())


def precision_key(device: torch.device, dtype: torch.dtype) -> str:
    """Return the suffix of a feature cache key for device and precision; empty for float32 on a CPU."""
    if device.type == "cpu" and dtype == torch.float32:
        return ""
    return f"-{device.type}-{str(dtype).removeprefix('torch.')}"


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Disable autocast: cached outputs must not depend on the context in which they were first computed."""
    return torch.autocast(device.type, enabled=False)


def _question(text: str) -> tuple[str, str] | None:
    match = _QUESTION.match(text.strip().partition("\n")[0])  # the model may continue with another caption
    return (match["question"].strip(), match["answer"]) if match else None
