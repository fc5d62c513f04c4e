"""Answers of the composed backbone: generated ones, and likelihoods of given ones."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from micl_backbones.composed.decoding import Prompts, greedy, likelihoods
from micl_backbones.composed.inputs import Inputs, left_padded
from micl_backbones.composed.load import language_source
from micl_backbones.composed.media import MediaTokens
from micl_backbones.composed.preset import Preset
from micl_backbones.composed.prompt import Prompt
from micl_backbones.instructions import GENERAL, QUESTION_PROMPT
from micl_backbones.language import LanguageBackbone, choices_of, normalised
from micl_cli.api import Example, Media


class ComposedAnswers(LanguageBackbone):
    """The answering half of ``Composed``."""

    preset: Preset

    @abstractmethod
    def _prompts(self, examples: Sequence[Example]) -> list[Prompt]:
        """Return the examples' prompts, with soft prompts by the selection that acts."""

    @abstractmethod
    def _inputs(
        self, examples: Sequence[Example], prompts: Sequence[Prompt], rows: Sequence[list[int]], *, pack: bool = True
    ) -> Inputs:
        """Return rows of tokens, padded at the right, with the media's tokens, and how they are packed."""

    @abstractmethod
    def _media(self, places: Sequence[tuple[int, int, Media]]) -> dict[str, MediaTokens]:
        """Return what the frozen encoders make of media, by modality; each stands in a row, from a position on."""

    @abstractmethod
    def _embed(self, inputs: Inputs) -> Tensor:
        """Return [B, L, size]: word embeddings, with media and soft prompts at their places."""

    @abstractmethod
    def _locate(self, inputs: Inputs) -> None:
        """Tell the adapters which example each position of the next pass belongs to, and which are prompts."""

    @property
    @abstractmethod
    def _packs(self) -> bool:
        """Whether several sequences can stand in one row."""

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        path, revision = language_source(self.preset)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path, revision=revision)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = tokenizer.eos_token_id
        return tokenizer

    @property
    def _end(self) -> int:
        return cast(int, self.tokenizer.eos_token_id)

    @property
    def _filler(self) -> int:
        return cast(int, self.tokenizer.pad_token_id)

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [row.ids for row in self.tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def answers(self, examples: Sequence[Example], **search: Any) -> list[str]:
        """Return answers; greedy ones, which most are, by ``greedy`` of this package."""
        if self._packs and search.get("num_beams", 1) == 1:
            prompts = self._reading(examples)
            ids = greedy(self.language, prompts, end=self._end, limit=search["max_new_tokens"])
        else:
            ids = self._searched(examples, search)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _searched(self, examples: Sequence[Example], search: Mapping[str, Any]) -> list[list[int]]:
        """Return token ids by the search of transformers, whose prompts are padded at the left."""
        prompts = self._prompts(examples)
        length = max(map(len, prompts))
        gaps = [length - len(prompt) for prompt in prompts]
        media = self._media([(r, *place) for r, prompt in enumerate(prompts) for place in prompt.moved(gaps[r])])
        inputs, mask = left_padded(prompts, gaps, self._filler, media, self.device)
        if self.adapters.needs_positions:
            self.adapters.locate(torch.arange(len(examples), device=self.device), len(examples), mask)
        found: Tensor = self.language.generate(
            inputs_embeds=self._embed(inputs),
            attention_mask=mask.long(),
            **search,
            eos_token_id=self._end,
            pad_token_id=self._filler,
        )
        return found.tolist()

    def _reading(self, examples: Sequence[Example]) -> Prompts:
        """Return the examples' prompts to be read together; a text that all begin with is read once."""
        first = {example.content[0] if len(example.content) > 1 else None for example in examples}
        uniform = not self.adapters.needs_positions and not self.adapters.has_prompts
        common = next(iter(first)) if len(first) == 1 and uniform else None
        shared = self._tokenize([common])[0] if isinstance(common, str) else []
        asked = [replace(example, content=example.content[1:]) for example in examples] if shared else examples
        prompts = self._prompts(asked)
        inputs = self._inputs(asked, prompts, [prompt.ids for prompt in prompts])
        locate = partial(self._locate, inputs)
        return Prompts(self._embed(inputs), inputs.lengths, inputs.packing, shared, locate, self.adapters.follow)

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        if not self._packs:
            return super().score_choices(examples, choices)
        own = choices_of(examples, choices)
        known = list(dict.fromkeys(text for texts in own for text in texts))
        ids = {text: [*ids, self._end] for text, ids in zip(known, self._tokenize(known), strict=True)}
        with self.answering():
            ends = [[ids[text] for text in texts] for texts in own]
            return normalised(likelihoods(self.language, self._reading(examples), ends), list(map(len, own)))

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        return self.questions(self.preset.language.get("question_prompt", QUESTION_PROMPT), captions)

    def instructions(self) -> Sequence[str]:
        name = self.preset.language.get("instructions")
        if not name:
            return GENERAL
        lines = (self.preset.folder / name).read_text(encoding="utf-8").splitlines()
        return tuple(json.loads(line)["text"] for line in lines if line.strip())
