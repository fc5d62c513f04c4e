"""N-grams, and what all metrics check and average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ORDERS = (1, 2, 3, 4)
"""The lengths of the n-grams that CIDEr-D and BLEU-4 count."""

Grams = Counter[tuple[str, ...]]


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
