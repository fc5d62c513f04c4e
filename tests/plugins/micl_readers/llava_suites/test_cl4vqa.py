"""CL4VQA: VQA v2 as joined items, as two lists, and in the formats of LLaVA."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llava_data import conversation, question


def test_both_forms_of_vqa_v2_give_the_same_rows(build: Any, read: Any) -> None:
    root = build("cl4vqa").root
    joined, lists = read("cl4vqa/recognition", root), read("cl4vqa/count", root)
    assert [row.content for row in joined] == [row.content for row in lists]
    train, test = joined[0], joined[-1]
    assert (train.id, train.references) == ("train-1000", ("red",))
    assert (test.id, test.references, test.split) == ("1002", ("blue",) * 10, "test")
    assert test.meta == {"question_id": 1002, "category": "other"}
    assert str(test.media[0].path) == "val2014/COCO_val2014_000000000011.jpg"
    assert str(train.media[0].path) == "train2014/COCO_train2014_000000000009.jpg"


def test_the_formats_of_llava_are_read_too(build: Any, read: Any) -> None:
    data = build("cl4vqa")
    image = "train2014/COCO_train2014_000000000009.jpg"
    data.write("train_q_recognition.json", [conversation("1", image, "Which?", "red")] * 2)
    data.write("val_q_recognition.json", [question("7", image, "Which?", ["red", "blue"])])
    rows = read("cl4vqa/recognition", data.root)
    assert [row.id for row in rows] == ["train-1", "train-1#2", "7"]
    assert rows[2].references == ("red", "blue")
    assert str(rows[0].media[0].path) == image


def test_the_layout_and_the_rule_of_the_release_of_cl_moe(build: Any, micl: Any) -> None:
    data = build("cl4vqa")
    image = "train2014/COCO_train2014_000000000009.jpg"
    data.write("CL4VQA/train/train_q_recognition.json", [conversation("1", image, "Which?", "red")])
    data.write("CL4VQA/test/test_q_recognition.json", [question("7", image, "Which?", "Red")])
    for split in ("train", "val"):
        (data.root / f"{split}_q_recognition.json").unlink()
    done = micl("prepare", "cl4vqa/recognition", "--root", data.root, "--scorer", "cl-moe", "--json")
    assert json.loads(done.out)["tasks"][0]["metric"] == "exact_upper"
    answers = data.root / "merge.jsonl"
    for text, score in (("RED", 100.0), ("red.", 0.0)):
        answers.write_text(json.dumps({"question_id": "7", "prompt": "Which?", "text": text}) + "\n")
        scored = micl("score", answers, "--task", "cl4vqa/recognition", "--json")
        assert json.loads(scored.out)["scores"][0]["score"] == score


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda item: item.pop("answers"), "the key 'answers' is missing"),
        (lambda item: item.update(answers="red"), "answers is not a list"),
        (lambda item: item.update(answers=[{"text": "red"}]), "the key 'answer' is missing"),
        (lambda item: item.update(answers=[]), "references are missing or empty"),
        (lambda item: item.update(image_id="a.jpg"), "image_id is not a number: 'a.jpg'"),
        (lambda item: item.update(image_id="1" * 5000), "image_id is not a number: '111"),
        (lambda item: item.pop("question"), "the key 'question' is missing"),
        (lambda item: item.update(image_id=77), "val2014/COCO_val2014_000000000077.jpg"),
    ],
)
def test_damaged_items_are_named_by_file_and_line(change: Any, message: str, build: Any, micl: Any) -> None:
    data = build("cl4vqa")
    items = data.items("val_q_recognition.json")
    change(items[1])
    data.write("val_q_recognition.json", items)
    done = micl("prepare", "cl4vqa/recognition", "--root", data.root)
    assert (done.code, done.out) == (4, "")
    assert "1 of 7 examples cannot be used" in done.err
    assert f"val_q_recognition.json:3: {message}" in done.err
    assert micl("prepare", "cl4vqa/recognition", "--root", data.root, "--on-error", "skip").code == 0


def test_questions_and_annotations_must_belong_together(build: Any, micl: Any) -> None:
    data = build("cl4vqa")
    path = data.root / "train_q_count.json"
    document = json.loads(path.read_text())
    for changed, message in (
        (document["annotations"][1:], "question 0 has no annotation"),
        ([*document["annotations"], document["annotations"][0]], "question 0 has two annotations"),
    ):
        data.document("train_q_count.json", {**document, "annotations": changed})
        done = micl("prepare", "cl4vqa/count", "--root", data.root)
        assert done.code == 4
        assert f"train_q_count.json:1: {message}" in done.err
