"""Answers of models."""

from __future__ import annotations


class Answer(str):
    """A generated answer.

    ``cut`` is whether generation stopped at ``max_new_tokens`` before the end of the answer, or None if that is not
    known. ``missing`` marks an example for which a prediction file has no answer.
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
