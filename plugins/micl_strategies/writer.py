"""Questions written from captions by a language model, and texts read from files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from micl_cli.api import Backbone, PlanError

Item = TypeVar("Item")
PROMPT = (
    "Write one question about this caption that can be answered with one or two of its words, "
    "then a question mark, then the answer.\nCaption: {caption}\n"
)


def write_questions(
    backbone: Backbone, captions: Sequence[str], batch_size: int, writer: str = ""
) -> Iterator[list[tuple[str, str] | None]]:
    """Yield one (question, short answer) a caption, batch by batch.

    They are written by the backbone's own language model, or by ``writer``: a path or hub id of a causal language
    model. None stands where what was written is no question with an answer. Raises PlanError where the writer cannot
    be loaded.
    """
    if writer:
        yield from _by_other_model(captions, batch_size, writer)
    else:
        for chunk in chunks(captions, batch_size):
            yield backbone.write_questions(chunk)


def chunks(whole: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return ``whole`` in pieces of at most ``size``."""
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _by_other_model(captions: Sequence[str], batch_size: int, writer: str) -> Iterator[list[tuple[str, str] | None]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(writer, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(writer).eval()
    except (OSError, ValueError) as error:
        raise PlanError(
            f"the question writer {writer!r} cannot be loaded: {error}",
            "Name a folder or hub id of a causal language model, or leave `-o writer` out.",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    for chunk in chunks(captions, batch_size):
        yield [split_question(text) for text in _continue(model, tokenizer, chunk)]


def _continue(model: Any, tokenizer: Any, captions: Sequence[str]) -> list[str]:
    inputs = tokenizer([PROMPT.format(caption=text) for text in captions], return_tensors="pt", padding=True)
    ids = model.generate(**inputs, max_new_tokens=40, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    texts: list[str] = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def split_question(text: str) -> tuple[str, str] | None:
    """Return ("question?", "answer") from text that starts with a question, or None where it does not."""
    question, mark, answer = text.strip().partition("?")
    answer = answer.strip().split("\n")[0].strip(" .\"'")
    return (f"{question.strip()}?", answer) if mark and question.strip() and answer else None


def read_lines(path: Path) -> list[str]:
    """Return the texts of a file: one a line, plain or as JSON objects with a "text". Raises PlanError."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [str(json.loads(line)["text"]) if line.startswith("{") else line for line in lines]
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", "Name a file with one text a line.") from error
    except (ValueError, KeyError) as error:
        raise PlanError(f"{path}: a line is no JSON object with a text", "Write one text a line.") from error
