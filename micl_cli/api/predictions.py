"""Prediction files: answers of a model in a form that the evaluation scripts of others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from micl_cli.api.task import Example

RELEASE_FORMAT = "release"
"""The name of the format of :func:`release_lines`, which all tasks have."""
QUESTION_ID = "question_id"
"""The key of an example's ``meta`` that holds the published id if that is no string."""


class Prediction(NamedTuple):
    """An answer to a test example."""

    example: Example
    answer: str


def release_lines(predictions: Iterable[Prediction], model: str = "micl") -> Iterator[str]:
    """Yield the lines of a prediction file as LLaVA's evaluation and the suites built on it write it: JSON Lines."""
    for example, answer in predictions:
        question = example.meta.get(QUESTION_ID, example.id)
        fields = {"question_id": question, "prompt": example.prompt, "text": answer}
        fields |= {"answer_id": f"{model}/{example.id}", "model_id": model, "metadata": {}}
        yield json.dumps(fields, ensure_ascii=False) + "\n"
