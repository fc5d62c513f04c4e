"""Instruction following: whether an answer has the requested shape."""

from __future__ import annotations

import re
from typing import ClassVar

from micl_cli.api import CAPTIONING, CHOICE, QA, Example, ExampleMetric, PlanError

LONGEST_ANSWER = 2
"""The most words of a short answer that is not the reference itself (``eval_vqa_instruction.py``)."""
SHORTEST_CAPTION = 5
"""The fewest words of a caption that is not part of a reference (``eval_caption_instruction.py``: more than four)."""
_LETTER = re.compile(r"[A-Za-z]")
SHAPES = (QA, CHOICE, CAPTIONING)


class InstructionFollowing(ExampleMetric):
    """The share of answers of a legal shape, right or wrong, in 0..1: MIF of SMoLoRA (Wang et al. 2025), for one task.

    By the scripts of the release: a short answer ("qa") has at most two words, or equals a reference whatever the case;
    an answer to multiple choice ("choice") is one letter; a caption ("captioning") ends with a full stop and has at
    least five words, or is part of a reference. The shape is ``shape`` in the example's ``meta``; without it, "choice"
    where the example has choices, "captioning" where it has several references with more words than a short answer may
    have, else "qa". Deviations: an empty answer is illegal, where the release takes it for a short one; a full stop
    may be that of another script; the mean over tasks is computed by the report.
    """

    name: ClassVar[str] = "instruction_following"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 for an answer of legal shape, else 0.0. Raises PlanError for an unknown shape."""
        return float(_LEGAL[shape_of(example)](answer.strip(), example))


def shape_of(example: Example) -> str:
    """Return the answer shape that an example requires. Raises PlanError if its meta names an unknown one."""
    if (shape := example.meta.get("shape")) is not None:
        if shape not in SHAPES:
            message = f"example {example.id} of {example.task or 'the task'} has the unknown shape {shape!r}"
            raise PlanError(message, f"Use one of {', '.join(SHAPES)} as shape in meta.")
        return str(shape)
    if example.choices:
        return CHOICE
    sentences = [text for text in example.references if len(text.split()) > LONGEST_ANSWER]
    return CAPTIONING if len(sentences) > 1 else QA


def _short(answer: str, example: Example) -> bool:
    same = answer.lower() in {reference.strip().lower() for reference in example.references}
    return bool(answer) and (len(answer.split()) <= LONGEST_ANSWER or same)


def _choice(answer: str, example: Example) -> bool:
    return _LETTER.fullmatch(answer) is not None


def _caption(answer: str, example: Example) -> bool:
    if not answer.endswith((".", "。", "।", "۔")):
        return False
    known = any(answer.lower() in reference.lower() for reference in example.references)
    return known or len(answer.split()) >= SHORTEST_CAPTION


_LEGAL = {QA: _short, CHOICE: _choice, CAPTIONING: _caption}
