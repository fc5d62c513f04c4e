"""Writing questions from captions with a language model, and reading texts from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from micl_cli.api import Backbone, PlanError, parse_json
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
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(writer, padding_side="left", trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(writer, trust_remote_code=False, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise PlanError(
            f"the question writer {writer!r} cannot be loaded: {error}",
            "Give the folder or hub id of a causal language model, or omit `-o writer`.",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    for chunk in chunks(captions, batch_size):
        yield [split_question(text) for text in _complete(model, tokenizer, chunk)]


def _complete(model: Any, tokenizer: Any, captions: Sequence[str]) -> list[str]:
    inputs = tokenizer([PROMPT.format(caption=text) for text in captions], return_tensors="pt", padding=True)
    ids = model.generate(**inputs, max_new_tokens=40, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    texts: list[str] = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


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
