"""Rules for MLLM-CL's Math and APP in place of their judges: deviations from the published evaluation.

The release looks for the letter or the text of a choice in a reply, and lets GPT extract all other answers; then it
compares by type, as MathVista does. Here all answers are extracted by rules. APP is scored by the server of MMT-Bench.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from micl_cli.api import Example, choices_of, chosen_letter, lettered
from micl_metrics.references import ReferenceMetric
from micl_metrics.text import comparable

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?<=\d)(?:[eE][-+]?\d{1,3})?"
_NUMBER = re.compile(rf"(?<![\w./])[-+]?{_DIGITS}(?:/{_DIGITS})?(?!\d)")
_LIST = re.compile(r"\[[^\[\]]*\]")
_CUES = (re.compile(r"\banswer\b\W{0,4}(?:is\b:?|:|=)\s*", re.IGNORECASE), re.compile(r"=\s*"))
_HINTS = {"integer": "requiring an integer", "float": "requiring a floating-point", "list": "requiring a Python list"}
_DECIMALS = {"one decimal": 1, "two decimal": 2, "three decimal": 3}


class MathRules(ReferenceMetric):
    """Math by rules, a deviation: the choice, number, list or text that a reply ends in, compared as MathVista does.

    Where there are choices (in the meta of an example, or listed in its prompt), the letter that the reply names. Else
    by the type of the answer, taken from the meta, from MathVista's hint in the prompt, or from the reference: the
    first number after the last "answer is", or else after the last "=", or else the last number of the reply (integers
    are compared after truncation, others after rounding to the requested precision); the last list; or the same text.
    """

    name: ClassVar[str] = "mllm_math_rules"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the extracted answer is right, else 0.0. Raises ValueError if there is no reference."""
        choices = choices_of(example)
        if choices and (right := _right_letter(example.references[0], choices)):
            return float(chosen_letter(answer, choices) == right)
        answer_type, digits = _answer_type(example), _precision(example)
        if answer_type in ("integer", "float"):
            return float(any(_same_number(answer, text, digits) for text in example.references))
        if answer_type == "list":
            return float(any(_same_list(answer, text) for text in example.references))
        return super().rate(answer, example)

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the reply, or what follows the word "answer" in it, is the reference."""
        return float(_plain(reference) in (_plain(answer), _plain(_after_cue(answer))))


class AppRules(ReferenceMetric):
    """APP by rules, a deviation: the letter of the choice that the reply names, or else the same text.

    Questions whose answer only the server knows count as wrong.
    """

    name: ClassVar[str] = "mllm_app_rules"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the reply names the right choice, else 0.0. Raises ValueError if there is no reference."""
        choices = choices_of(example) or lettered([""] * 10)
        if right := _right_letter(example.references[0], choices):
            return float(chosen_letter(answer, choices) == right)
        return super().rate(answer, example)

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the texts are the same, else 0.0."""
        return float(_plain(answer) == _plain(reference))


def _right_letter(reference: str, choices: Mapping[str, str]) -> str:
    """Return the letter of the choice that a reference names by its text or letter, or an empty string."""
    by_text = [letter for letter, text in choices.items() if text and _plain(text) == _plain(reference)]
    letter = reference.strip().strip("().").upper()
    return by_text[0] if by_text else letter if letter in choices else ""


def _answer_type(example: Example) -> str:
    declared = str(example.meta.get("answer_type", ""))
    if declared in ("integer", "float", "list", "text"):
        return declared
    if hinted := [name for name, hint in _HINTS.items() if hint in example.prompt]:
        return hinted[0]
    reference = example.references[0].strip() if example.references else ""
    if _NUMBER.fullmatch(reference):
        return "float" if "." in reference else "integer"
    return "list" if _LIST.fullmatch(reference) else "text"


def _precision(example: Example) -> int | None:
    """Return the number of decimals to compare; 0 for integers, None if it is not known."""
    if _answer_type(example) == "integer":
        return 0
    declared: Any = example.meta.get("precision")
    if isinstance(declared, int | float) and 0 <= declared < 20:
        return int(declared)
    return next((digits for words, digits in _DECIMALS.items() if words in example.prompt), None)


def _same_number(answer: str, reference: str, digits: int | None) -> bool:
    ours, truth = _number(answer), _number(reference)
    if ours is None or truth is None:
        return False
    if digits == 0:
        return int(ours) == int(truth)
    decimals = len(reference.strip().partition(".")[2]) if digits is None else digits
    return round(ours, decimals) == round(truth, decimals)


def _number(text: str) -> float | None:
    """Return the first number after the last cue, or the last number of a text; None if there is none."""
    plain = comparable(text)
    found = _NUMBER.findall(_after_cue(plain))[:1] or _NUMBER.findall(plain)[-1:]
    if not found:
        return None
    above, _, below = found[0].replace(",", "").partition("/")
    value = float(above) / float(below) if below and float(below) else float(above)
    return value if abs(value) < float("inf") else None


def _same_list(answer: str, reference: str) -> bool:
    found = _LIST.findall(answer)
    return bool(found) and _items(found[-1]) == _items(reference)


def _items(text: str) -> Any:
    try:
        return json.loads(text.replace("'", '"'))
    except ValueError:
        return "".join(text.split())


def _after_cue(text: str) -> str:
    """Return what follows the last "answer is", or the last "=" if there is none, or an empty string."""
    ends = [[match.end() for match in cue.finditer(text)] for cue in _CUES]
    return next((text[places[-1] :] for places in ends if places), "")


def _plain(text: str) -> str:
    return comparable(text).strip(" .\"'*")
