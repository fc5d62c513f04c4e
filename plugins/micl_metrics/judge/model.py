"""The language model of a judge, run in batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from micl_cli.api import PlanError
from micl_metrics.judge.checkpoint import HINT
from micl_metrics.judge.prompt import YES_NO, Fork, JudgePrompt, Question, Verdict

BATCH_TOKENS = 8192
"""The maximum number of tokens in a batch, unless a single prompt is longer."""
CHUNK = 256
"""The number of questions per yield, so that verdicts are cached if the process is interrupted."""


class JudgeModel:
    """A causal language model that chooses between given words by their likelihood, so that every verdict is valid.

    It is on the GPU, if there is one, only while it judges.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._language, self._prompt = _load(folder)

    def judge(self, questions: Sequence[Question]) -> Iterator[dict[Question, Verdict]]:
        """Yield verdicts on up to ``CHUNK`` questions at a time."""
        device = self._language.device
        self._language.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            for start in range(0, len(questions), CHUNK):
                chunk = questions[start : start + CHUNK]
                yield dict(zip(chunk, self._verdicts(chunk), strict=True))
        finally:
            self._language.to(device)

    def _verdicts(self, questions: Sequence[Question]) -> Iterator[Verdict]:
        """Yield a verdict for each question: yes or no, then the score that follows the more likely of the two."""
        messages = [self._prompt.message(question) for question in questions]
        yes = [float(row.softmax(0)[0]) for row in self._ask(messages, [self._prompt.verdict] * len(messages))]
        forks = [self._prompt.scores[YES_NO[0] if value > 0.5 else YES_NO[1]] for value in yes]
        scores = [int(row.argmax()) for row in self._ask(messages, forks)]
        return map(Verdict, yes, scores)

    def _ask(self, messages: Sequence[list[int]], forks: Sequence[Fork]) -> list[Tensor]:
        """Return the logits of each prompt's words, in order. Prompts that are too long are cut at the beginning."""
        longest = getattr(self._language.config, "max_position_embeddings", None) or sys.maxsize
        rows = [(message + fork.context)[-longest:] for message, fork in zip(messages, forks, strict=True)]
        found: dict[int, Tensor] = {}
        for indices in _batches(rows):
            logits = self._next_token([rows[index] for index in indices])
            for index, values in zip(indices, logits, strict=True):
                found[index] = values[forks[index].tokens].double()
        return [found[index] for index in range(len(rows))]

    @torch.no_grad()
    def _next_token(self, rows: Sequence[list[int]]) -> Tensor:
        """Return the logits [B, V] of the token that follows each row."""
        longest, device = max(map(len, rows)), self._language.device
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows], device=device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
        output = self._language.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=1, do_sample=False, num_beams=1, pad_token_id=0,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        logits: Tensor = output.logits[0].float().cpu()
        return logits


def _load(folder: Path) -> tuple[Any, JudgePrompt]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    dtype: Any = "auto" if torch.cuda.is_available() else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        language = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, TypeError, KeyError, ImportError, RuntimeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise PlanError(f"the judge in {folder} cannot be loaded: {reason}", HINT) from error
    language.eval().requires_grad_(False)
    return language, JudgePrompt(tokenizer)


def _batches(rows: Sequence[list[int]]) -> Iterator[list[int]]:
    """Yield the indices of rows of similar length, in batches of at most ``BATCH_TOKENS`` padded tokens."""
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda index: len(rows[index])):
        if batch and (len(batch) + 1) * len(rows[index]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
