"""Text-only instructions for distillation: files of texts, and general ones for presets without a file of their own.

Each is an instruction with its answer, in the form of Natural Instructions (Mishra et al., arXiv 2104.08773). The
general ones are about knowledge, arithmetic, rewriting, lists and definitions; none is about a medium or a task.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from micl_cli.api import PlanError, parse_json, read_lines

GENERAL = Path(__file__).parent / "presets" / "instructions.jsonl"
"""The file of the general instructions."""

QUESTION_PROMPT = (
    "Caption: a black dog jumps over a log\nQuestion: what does the dog jump over? a log\n"
    "Caption: a man plays the guitar on a stage\nQuestion: what does the man play? the guitar\n"
    "Caption: {caption}\nQuestion:"
)
"""A two-shot prompt for a question and its answer, for any language model."""


def read_instructions(path: Path) -> tuple[str, ...]:
    """Return the texts of a file with one object {"text": ...} on each line. Raises PlanError."""
    try:
        texts = tuple(parse_json(line)["text"] for _, line in read_lines(path))
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("it needs texts")
    except (OSError, ValueError, LookupError, TypeError) as error:
        hint = 'Write one object on each line: {"text": "..."}.'
        raise PlanError(f"the instructions {path} cannot be read: {error}", hint) from error
    return texts


@cache
def general_instructions() -> tuple[str, ...]:
    """Return the instructions of backbones and presets that name no file of their own."""
    return read_instructions(GENERAL)
