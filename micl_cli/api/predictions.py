"""Predictions: answers to test examples, to be exported in the formats of judges and evaluation servers."""

from __future__ import annotations

from typing import NamedTuple

from micl_cli.api.task import Example

QUESTION_ID = "question_id"
"""The key of an example's ``meta`` that holds the published question id if it is not a string."""


class Prediction(NamedTuple):
    """An answer to a test example."""

    example: Example
    answer: str
