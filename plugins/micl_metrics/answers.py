"""Short answers in one spelling, so that they can be compared."""

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
    """Return ``answer`` in the spelling by which answers are compared, after VQA's evaluation (Antol et al. 2015).

    Lower case; apostrophes and commas between digits are dropped, other punctuation becomes
    white space, save for decimal points; zero to ten and "none" become digits; the articles a,
    an, the go; white space is single. Where only articles are left they stay; where only
    punctuation is left, that stays.
    """
    plain = answer.lower().replace("’", "").replace("‘", "").replace("'", "")
    words = _MARKS.sub(" ", _THOUSANDS.sub("", plain)).split()
    content = [NUMBERS.get(word, word) for word in words if word not in ARTICLES]
    return " ".join(content or words or plain.split())


def matches(answer: str, references: Sequence[str]) -> int:
    """Return how many of ``references`` say the same as ``answer``. An empty answer matches none."""
    ours = normalise(answer)
    return sum(ours == normalise(text) for text in references) if ours else 0
