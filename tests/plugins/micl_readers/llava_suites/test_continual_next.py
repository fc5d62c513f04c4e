"""Continual-NExT and Continual-News: names of files and ids of examples."""

from __future__ import annotations

import json
from typing import Any


def test_items_without_ids_are_numbered(build: Any, read: Any) -> None:
    rows = read("continual-next/geochat", build("continual-next").root)
    assert [row.id for row in rows] == ["train-1", "train-2", "train-3", "train-4", "1", "2", "3"]
    assert str(rows[0].media[0].path) == "GeoChat/images/train0.jpg"
    assert rows[0].content[1:] == ("Which colour?",)
    assert rows[0].references == ("red",)


def test_text_alone_is_a_task_without_modalities(build: Any, micl: Any) -> None:
    done = micl("prepare", "continual-next/mathqa", "--root", build("continual-next").root, "--json")
    assert json.loads(done.out)["tasks"][0]["modalities"] == []


def test_repeated_ids_and_later_turns_are_told_apart(build: Any, read: Any) -> None:
    data = build("continual-next")
    item = {"id": 5, "query": "And now?", "response": "c", "history": [["First?", "a"]]}
    data.write("MathQA/train.json", [item, item])
    rows = read("continual-next/mathqa", data.root, "train")
    assert [row.id for row in rows] == ["train-5", "train-5/2", "train-5#2", "train-5#2/2"]
    assert rows[1].content == ("First?\na\nAnd now?",)


def test_an_image_in_a_task_of_text_alone_and_repeated_test_ids_are_faults(build: Any, micl: Any) -> None:
    data = build("continual-next")
    item = {"id": "1", "query": "Sum?", "response": "2"}
    data.write("MathQA/test.json", [item, item, {**item, "id": "2", "image": "a.jpg"}])
    done = micl("prepare", "continual-next/mathqa", "--root", data.root)
    assert done.code == 4
    assert "MathQA/test.json:3: id '1' is also that of MathQA/test.json:2" in done.err
    assert "MathQA/test.json:4: 'image' is not a modality of the task" in done.err


def test_long_answers_need_a_sentence_model(build: Any, micl: Any) -> None:
    data = build("continual-next")
    for split in ("train", "test"):
        data.write(f"WikiQA/{split}.json", [{"query": "Why?", "response": "since it is so and never was otherwise"}])
    done = micl("prepare", "continual-next/wikiqa", "--root", data.root, "--json")
    assert json.loads(done.out)["tasks"][0]["metric"] == "continual_next"
    assert "must be on this machine: --scorer short does without" in done.err


def test_years_are_tasks_of_continual_news(build: Any, read: Any) -> None:
    data = build("continual-news")
    rows = read("continual-news/2023", data.root, "test")
    assert rows[0].prompt == "Who won race 0 of 2023?"
    (data.root / "test_data").mkdir()
    (data.root / "2023_train.json").rename(data.root / "2023.json")
    (data.root / "2023_test.json").rename(data.root / "test_data" / "2023-test.json")
    assert read("continual-news/2023", data.root, "test") == rows


def test_news_are_scored_by_the_cosine_of_embeddings(build: Any, micl: Any) -> None:
    done = micl("prepare", "continual-news/2022", "--root", build("continual-news").root, "--json")
    assert json.loads(done.out)["tasks"][0]["metric"] == "sentence_cosine"
