"""Writing questions from captions with a language model, and reading texts from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from micl_cli.api import Backbone, PlanError, TextTokenizer, parse_json
from micl_cli.api import read_lines as text_lines

Item = TypeVar("Item")
PROMPT = (
    "Write one question about this caption that can be answered with one or two of its words, "
    "then a question mark, then the answer.\nCaption: {caption}\n"
)


def write_questions(
    backbone: Backbone, captions: Sequence[str], batch_size: int, writer: str = ""
) -> Iterator[list[tuple[str, str] | None]]:
    """Yield one (question, short answer) per caption, batch by batch.

    The backbone's own language model writes them, or ``writer``: the path or hub id of a causal language model. An item
    is None if the generated text is not a question with an answer. Raises PlanError if the writer cannot be loaded.
    """
    if writer:
        yield from _by_other_model(captions, batch_size, writer)
    else:
        for chunk in chunks(captions, batch_size):
            yield backbone.write_questions(chunk)


def chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Split ``items`` into chunks of at most ``size``."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _by_other_model(captions: Sequence[str], batch_size: int, writer: str) -> Iterator[list[tuple[str, str] | None]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(writer, padding_side="left", trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(writer, trust_remote_code=False, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise PlanError(
            f"the question writer {writer!r} cannot be loaded: {error}",
            "Give the folder or hub id of a causal language model, or omit `-o writer`.",
        ) from error
    end = model.generation_config.eos_token_id or tokenizer.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=0)  # no sampling and no penalties
    for chunk in chunks(captions, batch_size):
        yield [split_question(text) for text in _complete(model, tokenizer, chunk)]


def _complete(model: Any, tokenizer: Any, captions: Sequence[str]) -> list[str]:
    texts = TextTokenizer(tokenizer)
    rows = [[*texts.begin, *ids] for ids in texts.encode([PROMPT.format(caption=text) for text in captions])]
    width = max(map(len, rows))
    ids = model.generate(
        torch.tensor([[0] * (width - len(row)) + row for row in rows]),
        attention_mask=torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
        max_new_tokens=40,
        do_sample=False,
    )
    return texts.decode(ids[:, width:].tolist())


def split_question(text: str) -> tuple[str, str] | None:
    """Return ("question?", "answer") from a text that starts with a question, else None."""
    question, mark, answer = text.strip().partition("?")
    answer = answer.strip().split("\n")[0].strip(" .\"'")
    return (f"{question.strip()}?", answer) if mark and question.strip() and answer else None


def read_lines(path: Path) -> list[str]:
    """Read a file with one text per line, plain or as a JSON object with the key "text". Raises PlanError."""
    try:
        lines = list(text_lines(path))
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", "Give a file with one text per line.") from error
    except ValueError as error:
        raise PlanError(f"cannot read {path}: {error}", "Give a UTF-8 file with one text per line.") from error
    try:
        return [str(parse_json(line)["text"]) if line.startswith("{") else line for _, line in lines]
    except (ValueError, KeyError) as error:
        hint = 'Write one text per line, plain or as {"text": "..."}.'
        raise PlanError(f'{path}: a line is not a JSON object with the key "text"', hint) from error
