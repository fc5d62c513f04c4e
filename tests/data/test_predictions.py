"""Prediction files: everything written can be read again, in both formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.task import Example, Task
from micl_cli.data.predictions import match, read_predictions
from micl_cli.errors import ManifestError
from micl_cli.records import PredictionRecord
from micl_cli.report.predictions import AnsweredExample, AnswerSet, render_predictions

TASK = Task("own/t", frozenset(), "qa", "accuracy")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ANSWERS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), TEXTS, min_size=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predictions") / "file"


@given(answers=ANSWERS, as_list=st.booleans())
def test_what_was_written_is_read(file: Path, answers: dict[str, str], as_list: bool) -> None:
    rows = [{"question_id": id, "text": text} for id, text in answers.items()]
    file.write_text(json.dumps(rows) if as_list else "".join(json.dumps(row) + "\n" for row in rows))
    assert {each.id: str(each.answer) for each in read_predictions(file)} == answers


@given(answers=ANSWERS)
def test_exported_answers_match_their_examples(file: Path, answers: dict[str, str]) -> None:
    rows = [AnsweredExample(PredictionRecord(id, text)) for id, text in answers.items()]
    made = AnswerSet(run="r", stage=1, task="own/t", split="test", scored="", examples=rows)
    file.write_text(render_predictions([made], "jsonl"), encoding="utf-8", newline="\n")
    found = match(file, read_predictions(file), TASK, "test", [Example(id) for id in answers])
    assert (list(found.answers), found.missing) == (list(answers.values()), 0)


@given(st.binary(max_size=200))
def test_any_other_file_is_an_error_with_a_way_out(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        list(read_predictions(file))
    except ManifestError as error:
        assert error.message.startswith(str(file))
        assert error.hint
