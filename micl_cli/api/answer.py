"""Answers of models."""

from __future__ import annotations


class Answer(str):
    """A generated answer.

    ``cut`` is whether it was still without its end after ``max_new_tokens``, or None if that is not known, as of
    answers that are plain strings. ``missing`` marks an example that a file of predictions has no answer to.
    """

    cut: bool | None
    missing: bool

    def __new__(cls, text: str, cut: bool | None = None, *, missing: bool = False) -> Answer:
        """Return ``text`` as an answer."""
        answer = super().__new__(cls, text)
        answer.cut = cut
        answer.missing = missing
        return answer


def is_missing(answer: str) -> bool:
    """Return whether there is no answer. An empty answer is not missing."""
    return isinstance(answer, Answer) and answer.missing
