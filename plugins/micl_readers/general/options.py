"""Prompts of multiple choice by letters."""

from __future__ import annotations

from collections.abc import Mapping

INSTRUCTION = "Answer with the option's letter from the given choices directly."


def letter_prompt(question: str, options: Mapping[str, str]) -> str:
    """Return a prompt with the question, one option per line, and the instruction to answer with a letter."""
    lines = [f"{letter}. {option}" for letter, option in options.items()]
    return "\n".join([question.strip(), *lines, INSTRUCTION])
