"""MLLM-CL's abilities: test halves of their own, and prediction files for the judges of Math and APP."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Example, Fault, ManifestError, Media, Prediction, Row, Source
from micl_readers.mllm_cl_ability import MATHVISTA, MMT_BENCH, Ability


def questions(found: dict[str, Any]) -> list[Row]:
    return [row for row in found.values() if isinstance(row, Row) and row.split == "test"]


def test_the_tasks_are_in_the_published_order() -> None:
    assert tuple(Ability.tasks) == ("ocr", "math", "vp", "app")
    assert [task.max_new_tokens for task in Ability.tasks.values()] == [2048, 2048, 64, 1024]


@pytest.mark.parametrize("task", Ability.tasks)
def test_questions_come_from_the_test_half(write: Any, rows: Any, task: str) -> None:
    root = write()
    folder = Ability().locate(task, Source(root, root, root))["test"].parent
    found = questions(rows(Ability, task, root))
    assert found
    assert all(folder.name in row.media[0].path.parts for row in found)
    assert all((root / medium.path).is_file() for row in found for medium in row.media)


def test_ocr_learns_without_dense_captions(write: Any, rows: Any) -> None:
    root = write()
    assert "train-0" in rows(Ability, "ocr", root)
    (root / "OCR" / "train_without_dense_caption.json").unlink()
    with pytest.raises(ManifestError, match=r"has no OCR/train_without_dense_caption\.json"):
        Ability().locate("ocr", Source(root, root, root))


def test_published_prompts_of_ocr_begin_with_a_blank(write: Any, rows: Any) -> None:
    root = write()
    published, file = (questions(rows(Ability, "ocr", root, variant))[0] for variant in ("published", "file"))
    medium = Media("image", Path("OCR_test/images/0.png"))
    assert published.content == (medium, " what is written?")
    assert file.content == (medium, "what is written?")
    assert (file.references, file.meta["category"]) == (("STOP", "stop"), "Regular Text Recognition")


def test_an_unknown_category_of_ocr_is_a_fault(write: Any, rows: Any) -> None:
    root = write(OCR=[{"question_id": 4, "image": "0.png", "text": "?", "answer": "a", "answer_type": "Regular"}])
    fault = rows(Ability, "ocr", root)["4"]
    assert isinstance(fault, Fault)
    assert (fault.where, fault.reason) == ("OCR_test/test.json:2", "unknown answer_type 'Regular'")


def test_questions_of_vp_have_dimension_and_task(write: Any, rows: Any) -> None:
    first, second = questions(rows(Ability, "vp", write()))
    assert first.meta == {"category": "2D", "task": "Count", "question_id": 0}
    assert second.meta == {"category": "3D", "task": "Depth", "question_id": 1}


def test_questions_of_math_keep_what_the_judge_needs(write: Any, rows: Any) -> None:
    first, second = questions(rows(Ability, "math", write()))
    assert first.meta["choices"] == {"A": "2 cm", "B": "3 cm"}
    assert (first.meta["answer_type"], first.meta["category"]) == ("text", "geometry problem solving")
    assert first.meta["item"]["pid"] == "17"
    assert second.meta == {"item": {"precision": None}}


def test_questions_of_app_may_have_no_published_answer(write: Any, rows: Any) -> None:
    first, second = questions(rows(Ability, "app", write()))
    assert (first.references, first.meta["category"]) == (("B",), "gui")
    assert second.references == ("(not published)",)
    assert second.meta["choices"] == {"A": "a bell", "B": "a cup"}
    assert "deviation" in Ability.tasks["app"].note


def predictions(found: dict[str, Any], *answers: str) -> list[Prediction]:
    examples = [Example(row.id, row.content, row.references, meta=row.meta) for row in questions(found)]
    return [Prediction(example, answer) for example, answer in zip(examples, answers, strict=True)]


def test_predictions_of_math_are_a_file_for_mathvista(write: Any, rows: Any) -> None:
    found = rows(Ability, "math", write())
    text = "".join(Ability().export("math", MATHVISTA, predictions(found, 'The answer is "B".', "7")))
    document = json.loads(text)
    assert list(document) == ["17", "2"]
    assert document["17"]["response"] == 'The answer is "B".'
    assert document["17"]["query"] == questions(found)[0].prompt
    assert document["17"]["choices"] == ["2 cm", "3 cm"]
    assert document["17"]["metadata"] == {"task": "geometry problem solving"}
    assert [each["answer"] for each in document.values()] == ["3 cm", "7"]


def test_an_empty_file_for_mathvista_is_an_object() -> None:
    assert json.loads("".join(Ability().export("math", MATHVISTA, []))) == {}


def test_predictions_of_app_are_a_table_for_the_server(write: Any, rows: Any) -> None:
    found = rows(Ability, "app", write())
    text = "".join(Ability().export("app", MMT_BENCH, predictions(found, "I choose (B).", "who knows")))
    first, second = csv.DictReader(text.splitlines(keepends=True), delimiter="\t")
    assert (first["index"], first["opt"], first["question"]) == ("11", "B", questions(found)[0].prompt)
    assert first["prediction"] == "I choose (B)."
    assert (second["index"], second["opt"], second["prediction"]) == ("12", "Z", "who knows")
    assert second["A"] == "a bell"


def test_ids_of_app_are_rows_of_the_table_of_the_server(write: Any, rows: Any) -> None:
    item = {"question_id": "ALL_205", "image": "APP_test/images/0.png", "text": "Which icon?", "answer": "A"}
    found = rows(Ability, "app", write(APP=[item]))
    text = "".join(Ability().export("app", MMT_BENCH, predictions(found, "a")))
    assert text.splitlines() == ["index\tquestion\tprediction\topt", "205\tWhich icon?\ta\tA"]
