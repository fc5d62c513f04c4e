"""Predictions: answers of a model to test examples, for files that judges and servers take."""

from __future__ import annotations

from typing import NamedTuple

from micl_cli.api.task import Example

QUESTION_ID = "question_id"
"""The key of an example's ``meta`` that holds the published id if that is no string."""


class Prediction(NamedTuple):
    """An answer to a test example."""

    example: Example
    answer: str
