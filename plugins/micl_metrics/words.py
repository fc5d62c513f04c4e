"""Tokenisation and n-grams of captions, shared by all caption metrics."""

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
    """Split a text into words, nearly as the PTB tokenizer with removal of punctuation does.

    Converts to lower case; drops punctuation, but keeps inner hyphens ("t-shirt") and the points and commas of numbers;
    splits English clitics off ("man's": man 's, "don't": do n't).
    """
    plain = text.lower().replace("’", "'").replace("‘", "'")
    return [part for token in _TOKEN.findall(plain) for part in _CLITIC.sub(r" \1", token).split()]


def ngrams(tokens: Sequence[str]) -> Grams:
    """Count the n-grams of every order in ORDERS."""
    return Counter(tuple(tokens[at : at + n]) for n in ORDERS for at in range(len(tokens) - n + 1))


def paired(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """Return each answer with its references. Raises ValueError if lengths differ or an answer has no reference."""
    if len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers, but references for {len(references)}")
    for index, texts in enumerate(references):
        if not texts:
            raise ValueError(f"answer {index} has no reference")
    return list(zip(answers, references, strict=True))


def mean(values: Sequence[float]) -> float:
    """Return the mean, and 0.0 for no values."""
    return sum(values) / len(values) if values else 0.0
