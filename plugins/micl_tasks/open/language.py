"""Questions, and helpers for captions of all modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from numpy.random import Generator

T = TypeVar("T")


class Question(NamedTuple):
    """A question and its answer."""

    text: str
    answer: str


def among(rng: Generator, choices: Sequence[T]) -> T:
    """Draw one of ``choices`` uniformly."""
    return choices[int(rng.integers(len(choices)))]


def a(noun: str) -> str:
    """Return the noun with its indefinite article."""
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
