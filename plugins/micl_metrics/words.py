"""Captions as words and n-grams, the same way for every caption metric."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

ORDERS = (1, 2, 3, 4)
"""The lengths of the n-grams that CIDEr-D and BLEU-4 count."""

PUNCTUATION = string.punctuation + "“”„«»‹›…–—¿¡·•。、，！？：；（）「」"

_MARK = f"[{re.escape(PUNCTUATION)}\\s]"
_LETTERS = f"[^{re.escape(PUNCTUATION)}\\s]+"
# A clitic that stands alone ("man 's"), a number, or a word with inner hyphens and apostrophes.
_TOKEN = re.compile(rf"(?<!\S)'(?:s|m|d|re|ve|ll)(?={_MARK}|$)|\d+(?:[.,:]\d+)+|{_LETTERS}(?:[-']{_LETTERS})*")
_CLITIC = re.compile(r"(?<=.)(n't|'(?:s|m|d|re|ve|ll))$")

Grams = Counter[tuple[str, ...]]


def tokenise(text: str) -> list[str]:
    """Return the words of ``text``, close to what the PTB tokenizer and the removal of punctuation give.

    Lower case; punctuation is dropped; inner hyphens stay ("t-shirt"), and so do the points and
    commas of numbers; English clitics are words of their own ("man's": man 's, "don't": do n't).
    """
    plain = text.lower().replace("’", "'").replace("‘", "'")
    return [part for token in _TOKEN.findall(plain) for part in _CLITIC.sub(r" \1", token).split()]


def ngrams(tokens: Sequence[str]) -> Grams:
    """Count the n-grams of every order in ORDERS."""
    return Counter(tuple(tokens[at : at + n]) for n in ORDERS for at in range(len(tokens) - n + 1))


def paired(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """Return each answer with its references.

    Raises ValueError where the lengths differ, or where an answer has no reference.
    """
    if len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers, but references for {len(references)}")
    for at, texts in enumerate(references):
        if not texts:
            raise ValueError(f"nothing to compare answer {at} with: it has no reference")
    return list(zip(answers, references, strict=True))


def mean(values: Sequence[float]) -> float:
    """Return the mean, and 0.0 for no values."""
    return sum(values) / len(values) if values else 0.0
