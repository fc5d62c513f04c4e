"""Answering with the composed backbone: generation, scoring of choices, writing of questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import Tensor

from micl_backbones.composed.causal import ignores_left_padding
from micl_backbones.composed.decoding import PromptBatch, greedy, log_likelihoods
from micl_backbones.composed.inputs import Inputs, left_padded
from micl_backbones.composed.media import MediaTokens
from micl_backbones.composed.preset import Preset, instruction_texts
from micl_backbones.composed.prompt import Frame, Prompt, chat_frame, plain_frame
from micl_backbones.instructions import QUESTION_PROMPT, general_instructions
from micl_backbones.language import LanguageBackbone, answers_of, choices_of, generation_arguments, normalised_log_probs
from micl_cli.api import Answer, Example, Media, PlanError, TextTokenizer


class ComposedAnswers(LanguageBackbone):
    """The methods of ``Composed`` that answer examples."""

    preset: Preset
    tokenizer: Any
    positions: int | None
    """The number of positions that the language model has embeddings for; None if any."""

    @abstractmethod
    def _prompts(self, examples: Sequence[Example], *, begin: bool = True) -> list[Prompt]:
        """Return the examples' prompts with their soft prompts; without ``begin``, they lack the frame's beginning."""

    @abstractmethod
    def _inputs(
        self, examples: Sequence[Example], prompts: Sequence[Prompt], rows: Sequence[list[int]], *, pack: bool = True
    ) -> Inputs:
        """Return right-padded rows of token ids with their media tokens and packing."""

    @abstractmethod
    def _media(self, places: Sequence[tuple[int, int, Media]]) -> dict[str, MediaTokens]:
        """Return the encoder outputs of media by modality; ``places`` holds (row, first position, medium)."""

    @abstractmethod
    def _embed(self, inputs: Inputs) -> Tensor:
        """Return [B, L, size]: word embeddings, with media and soft prompts in place of their placeholders."""

    @abstractmethod
    def _locate(self, inputs: Inputs) -> None:
        """Set the example of each position of the next forward pass, and which positions are prompts."""

    @property
    @abstractmethod
    def _can_pack(self) -> bool:
        """Whether several sequences can be packed into one row."""

    @cached_property
    def texts(self) -> TextTokenizer:
        return TextTokenizer(self.tokenizer)

    @cached_property
    def frame(self) -> Frame:
        """The token ids around the content of each prompt. Raises PlanError if there is no such chat template."""
        if self.preset.language.get("template", "plain") == "plain":
            return plain_frame(self.texts)
        try:
            return chat_frame(self.tokenizer)
        except ValueError as error:
            hint = 'Write template = "plain" in [language], or choose a language model with a chat template.'
            raise PlanError(f"the preset's language model has no chat template: {error}", hint) from error

    @property
    def _eos_id(self) -> int:
        return cast(int, self.tokenizer.eos_token_id)

    @property
    def _pad_id(self) -> int:
        return cast(int, self.tokenizer.pad_token_id)

    def answers(self, examples: Sequence[Example], **search: Any) -> Sequence[Answer]:
        """Generate one answer per example; greedy decoding uses ``decoding.greedy``, beams use transformers."""
        if self._can_pack and search.get("num_beams", 1) == 1:
            prompts = self._prompt_batch(examples)
            limit = self._new_tokens(prompts.length, search["max_new_tokens"])
            options = {"repetition_penalty": search.get("repetition_penalty", 1.0), "stream": search.get("streamer")}
            ids = greedy(self.language, prompts, end=self._eos_id, limit=limit, **options)
        else:
            limit = 0  # what `generate` returns has an end token, however short it is, unless it was cut
            ids = self._search(examples, search)
        return answers_of(self.texts.decode(ids), ids, {self._eos_id}, limit)

    def _new_tokens(self, length: int, wanted: int) -> int:
        """Return how many tokens can follow prompts of up to ``length`` positions."""
        # The last token is not read again, and needs no position.
        return wanted if self.positions is None else min(wanted, self.positions - length + 1)

    def _search(self, examples: Sequence[Example], search: Mapping[str, Any]) -> list[list[int]]:
        """Return the token ids that ``generate`` of transformers finds, batched as the language model allows it."""
        if self._pads_left:
            return self._generate(examples, search)
        return [self._generate([example], search)[0] for example in examples]

    @cached_property
    def _pads_left(self) -> bool:
        """Whether prompts of different lengths can be padded at the left."""
        with self.adapters.using(None):
            return self._can_pack or ignores_left_padding(self.language)

    def _generate(self, examples: Sequence[Example], search: Mapping[str, Any]) -> list[list[int]]:
        """Return the token ids that ``generate`` of transformers finds; its prompts are padded at the left."""
        prompts = self._prompts(examples)
        length = max(map(len, prompts))
        search = generation_arguments(search, prompt_length=0)  # prompts are embeddings: all ids are of the answer
        search["max_new_tokens"] = self._new_tokens(length, search["max_new_tokens"])
        gaps = [length - len(prompt) for prompt in prompts]
        media = self._media([(r, *place) for r, prompt in enumerate(prompts) for place in prompt.shifted(gaps[r])])
        inputs, mask = left_padded(prompts, gaps, self._pad_id, media, self.device)
        if self.adapters.needs_positions:
            self.adapters.locate(torch.arange(len(examples), device=self.device), len(examples), mask)
        ends = {"eos_token_id": self._eos_id, "pad_token_id": self._pad_id}
        try:
            ids: Tensor = self.language.generate(
                inputs_embeds=self._embed(inputs), attention_mask=mask.long(), **search, **ends
            )
        except ValueError as error:
            if search.get("num_beams", 1) == 1:
                raise
            raise PlanError(f"no beam search with this language model: {error}", "Generate with one beam.") from error
        return ids.tolist()

    def _prompt_batch(self, examples: Sequence[Example]) -> PromptBatch:
        """Return the examples' prompts as one batch; a text at the beginning of all of them becomes its context."""
        first = {example.content[0] if len(example.content) > 1 else None for example in examples}
        uniform = not self.adapters.needs_positions and not self.adapters.has_prompts
        common = next(iter(first)) if len(first) == 1 and uniform else None
        context = [*self.frame.before, *self.texts.encode([common])[0]] if isinstance(common, str) else []
        rest = [replace(example, content=example.content[1:]) for example in examples] if context else examples
        prompts = self._prompts(rest, begin=not context)
        inputs = self._inputs(rest, prompts, [prompt.ids for prompt in prompts])
        locate = partial(self._locate, inputs)
        return PromptBatch(self._embed(inputs), inputs.lengths, inputs.packing, context, locate, self.adapters.follow)

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        if not self._can_pack:
            return super().score_choices(examples, choices)
        own = choices_of(examples, choices)
        distinct = list(dict.fromkeys(text for texts in own for text in texts))
        ids = {text: [*ids, self._eos_id] for text, ids in zip(distinct, self.texts.encode(distinct), strict=True)}
        with self.evaluation_mode():
            continuations = [[ids[text] for text in texts] for texts in own]
            totals = log_likelihoods(self.language, self._prompt_batch(examples), continuations)
            return normalised_log_probs(totals, list(map(len, own)))

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        return self.questions_from_template(self.preset.language.get("question_prompt", QUESTION_PROMPT), captions)

    def instructions(self) -> Sequence[str]:
        return instruction_texts(self.preset) or general_instructions()
