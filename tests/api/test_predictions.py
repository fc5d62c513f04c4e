"""Prediction files in the form of LLaVA's evaluation."""

from __future__ import annotations

import json

from micl_cli.api import Example, Prediction, release_lines


def test_a_line_has_the_published_id_prompt_and_answer() -> None:
    predictions = [
        Prediction(Example("12", ("how many?",), ("3",), meta={"question_id": 12}), "three\n“3”"),
        Prediction(Example("x", ("what?",), ("a",)), ""),
    ]
    first, second = map(json.loads, "".join(release_lines(predictions, "run")).splitlines())
    assert (first["question_id"], first["prompt"], first["text"]) == (12, "how many?", "three\n“3”")
    assert set(first) == {"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}
    assert (second["question_id"], second["text"], second["model_id"]) == ("x", "", "run")
