"""Answering with a transformers checkpoint: generation, scoring of choices, writing of questions."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from micl_backbones.hf.chat import Chat, Prompt
from micl_backbones.hf.checkpoints import CheckpointBackbone
from micl_backbones.hf.passes import capture_inputs, project_only
from micl_backbones.language import answers_of, choices_of, generation_arguments, normalised_log_probs
from micl_cli.api import Answer, Example, TextTokenizer

QUESTION_PROMPT = (
    "Write one short question about the scene that this caption describes, and behind it the answer in one word.\n"
    "Caption: a black dog jumps over a log in the woods\nWhat does the dog jump over? log\nCaption: {caption}"
)


class HFAnswers(CheckpointBackbone):
    """The methods of ``HF`` that answer examples."""

    model: Any
    chat: Chat

    @abstractmethod
    def _inputs(
        self,
        examples: Sequence[Example],
        prompts: Sequence[Prompt],
        *,
        answers: Sequence[Sequence[int]] | None = None,
        soft: Sequence[int] = (),
        cache: bool = True,
    ) -> dict[str, Any]:
        """Return the inputs of a forward pass over the prompts, with the examples' media and answers' token ids."""

    @abstractmethod
    def _run(
        self, call: Callable[..., Any], inputs: Mapping[str, Any], rows: Sequence[int], count: int, **more: Any
    ) -> Any:
        """Call the model with the ``_inputs`` of ``rows``, indices in a batch of ``count`` examples."""

    @abstractmethod
    def _locate(self, inputs: Mapping[str, Any], rows: Sequence[int], count: int, labels: Tensor | None = None) -> None:
        """Set the example of each row of the next forward pass, and which positions are prompts."""

    @property
    def texts(self) -> TextTokenizer:
        return self.chat.texts

    def answers(self, examples: Sequence[Example], **search: Any) -> Sequence[Answer]:
        rows = range(len(examples))
        # Beam search repeats its inputs along the batch, which cached encoder outputs would not follow.
        soft, greedy = self.adapters.prompt_lengths(len(examples)), search.get("num_beams", 1) == 1
        inputs = self._inputs(examples, self.chat.prompts(examples), soft=soft, cache=greedy)
        ends, pad = list(self.chat.ends), self.chat.tokenizer.pad_token_id
        self._locate(inputs, rows, len(examples))
        run = partial(self._run, self.model.generate, inputs, rows, len(examples))
        length = inputs["input_ids"].shape[1]
        rows_of_ids: Tensor = run(**generation_arguments(search, length), eos_token_id=ends, pad_token_id=pad)
        ids = rows_of_ids[:, length:].tolist()
        return answers_of(self.texts.decode(ids), ids, ends, search["max_new_tokens"])

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        """See Backbone; each prompt is processed once, and all choices reuse its keys and values."""
        own, prompts = choices_of(examples, choices), self.chat.prompts(examples)
        ids = {text: self.chat.answer(text) for text in dict.fromkeys(text for texts in own for text in texts)}
        with self.evaluation_mode():
            inputs = self._inputs(examples, prompts, soft=self.adapters.prompt_lengths(len(examples)))
            self._locate(inputs, range(len(examples)), len(examples))
            with capture_inputs(self.model) as captured, project_only(self.model, lambda hidden: hidden[:, -1:]):
                output = self._run(self.model, inputs, range(len(examples)), len(examples), use_cache=True)
            first = torch.log_softmax(output.logits[:, -1].float(), -1)
            cache, position = output.past_key_values, captured[0].get("position_ids")
            if position is None:  # otherwise a model may use the position offsets of an earlier batch
                position = torch.arange(inputs["input_ids"].shape[1], device=first.device)[None]
            self.adapters.follow(torch.arange(len(examples), device=first.device))
            columns = [[ids[texts[min(k, len(texts) - 1)]] for texts in own] for k in range(max(map(len, own)))]
            mask = inputs["attention_mask"]
            totals = [self._log_likelihoods_after(mask, position, cache, first, column) for column in columns]
        return normalised_log_probs(torch.stack(totals, dim=1), list(map(len, own)))

    def _log_likelihoods_after(
        self, mask: Tensor, position: Tensor, cache: Any, first: Tensor, answers: Sequence[Sequence[int]]
    ) -> Tensor:
        """Return [B]: the log-likelihood of each row's answer after the prompts in ``cache``.

        ``position`` holds the position ids of the prompts, ``first`` [B, V] the log-probabilities of the first token.
        """
        width = max(map(len, answers))
        tokens = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in answers], device=first.device)
        total = first.gather(1, tokens[:, :1])[:, 0]
        if width == 1:
            return total
        steps = torch.arange(1, width, device=first.device)
        output = self.model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([mask, torch.ones_like(tokens[:, :-1])], dim=1),
            position_ids=position[..., -1:] + steps,
            past_key_values=copy.deepcopy(cache),
            use_cache=True,
        )
        each = torch.log_softmax(output.logits.float(), -1).gather(2, tokens[:, 1:, None])[..., 0]
        real = steps < torch.tensor([[len(ids)] for ids in answers], device=first.device)
        return total + (each * real).sum(1)

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        return self.questions_from_template(QUESTION_PROMPT, captions)
