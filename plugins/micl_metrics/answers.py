"""Normalisation and comparison of short answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from micl_metrics.words import PUNCTUATION

ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
NUMBERS |= {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}

_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_MARKS = re.compile(rf"\.(?!\d)|[{re.escape(PUNCTUATION.replace('.', ''))}]")


def normalise(answer: str) -> str:
    """Normalise an answer for comparison, after VQA's evaluation (Antol et al. 2015).

    Converts to lower case; drops apostrophes and commas between digits; replaces other punctuation except decimal
    points by white space; writes zero to ten and "none" as digits; drops the articles a, an and the; collapses white
    space. An answer of articles alone keeps them, an answer of punctuation alone keeps that.
    """
    plain = answer.lower().replace("’", "").replace("‘", "").replace("'", "")
    words = _MARKS.sub(" ", _THOUSANDS.sub("", plain)).split()
    content = [NUMBERS.get(word, word) for word in words if word not in ARTICLES]
    return " ".join(content or words or plain.split())


def matches(answer: str, references: Sequence[str]) -> int:
    """Count the ``references`` that equal ``answer`` after normalisation. An empty answer matches none."""
    ours = normalise(answer)
    return sum(ours == normalise(text) for text in references) if ours else 0
