"""Normalisation and comparison of short answers."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence

from micl_metrics.text import comparable, unify

ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
NUMBERS |= {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}

PUNCTUATION = string.punctuation + "‹›—―¿¡·•"

_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_POINT = re.compile(r"\.(?!\d)")
_ELLIPSIS = re.compile(r"\.{2,}")
_UNIT_GAP = re.compile(r"(?<=\d)\s+(?=[%‰°])|(?<=(?<!\d)[$€£¥])\s+(?=\d)")
# Signs and units of numbers ("-5", "<5", "$5", "50%", "10:30", "1/2"), and marks that end a name ("c#", "c++", "A-").
_MEANINGFUL = (
    r"(?<!\w)[-+<>=~≈≤≥±$€£¥#]+(?=\.?\d)|(?<=\d)[-+/:*^=<>~](?=[-+$€£¥]?\.?\d)|(?<=\d)[%‰°$€£¥+]+|"
    r"(?<=[^\W_])[-+#]+(?=\s|$)"
)
_MARKS = re.compile(rf"({_MEANINGFUL}|\.(?=\d))|[{re.escape(PUNCTUATION)}]")


def normalise(answer: str) -> str:
    """Normalise an answer for comparison, without changing what it says.

    Unifies characters (see :mod:`micl_metrics.text`) and converts to lower case; drops apostrophes, commas between
    digits and points that no digit follows ("p.m." is "pm"); replaces other punctuation by white space, but keeps signs
    and units of numbers ("-5", "50%", "10:30") and marks that end a name ("c#"); writes zero to ten and "none" as
    digits; drops the articles a, an and the; collapses white space. An answer of articles alone keeps them, an answer
    of punctuation alone keeps that.
    """
    plain = comparable(answer).replace("'", "")
    bare = unify(_POINT.sub("", _THOUSANDS.sub("", _ELLIPSIS.sub(" ", plain))))
    words = _MARKS.sub(lambda mark: mark[1] or " ", _UNIT_GAP.sub("", bare)).split()
    content = [NUMBERS.get(word, word) for word in words if word not in ARTICLES]
    # Where marks were removed, a unit may be adjacent to its number.
    return _UNIT_GAP.sub("", " ".join(content or words or plain.split()))


def matches(answer: str, references: Sequence[str], form: Callable[[str], str] = normalise) -> int:
    """Count the ``references`` that equal ``answer`` after normalisation by ``form``. An empty answer matches none."""
    ours = form(answer)
    return sum(ours == form(text) for text in references) if answer.strip() else 0
