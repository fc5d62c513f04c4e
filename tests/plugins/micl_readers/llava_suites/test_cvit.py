"""CVIT: shapes of answers, and captions in two forms."""

from __future__ import annotations

from typing import Any

from llava_data import coco


def test_questions_tell_the_shape_of_answer_they_ask_for(build: Any, read: Any) -> None:
    root = build("cvit").root
    shapes = {
        task: read(f"cvit/{task}", root, "test")[0].meta["shape"] for task in ("scienceqa", "flickr30k", "places365")
    }
    assert shapes == {"scienceqa": "choice", "flickr30k": "captioning", "places365": "qa"}


def test_the_folders_of_the_release_are_read(build: Any, read: Any) -> None:
    root = build("cvit").root
    before = {task: read(f"cvit/{task}", root, "test") for task in ("scienceqa", "flickr30k")}
    below = root / "CVIT_benchmark" / "Instructions_Single"
    below.parent.mkdir()
    (root / "instructions").rename(below)
    (root / "datasets").rename(root / "dataset")
    (below / "Flickr30k" / "test.json").rename(below / "Flickr30k" / "val.json")
    for task, rows in before.items():
        found = read(f"cvit/{task}", root, "test")
        assert [(row.id, row.prompt, row.references, row.meta) for row in found] == [
            (row.id, row.prompt, row.references, row.meta) for row in rows
        ]
        assert all((root / row.media[0].path).is_file() for row in found)


def test_the_test_is_the_validation_file_of_some_tasks(build: Any, read: Any) -> None:
    data = build("cvit")
    for task, folder, tested in (("places365", "Places365", 1), ("scienceqa", "ScienceQA", 3)):
        data.write(f"instructions/{folder}/val.json", data.items(f"instructions/{folder}/test.json")[:1])
        assert len(read(f"cvit/{task}", data.root, "test")) == tested


def test_captions_have_a_list_of_answers_or_a_file_of_references(build: Any, read: Any) -> None:
    data = build("cvit")
    listed = read("cvit/flickr30k", data.root, "test")
    assert listed[2].references == ("a plain blue picture number 2", "picture 2")
    data.document("instructions/Flickr30k/val_coco_type_3000.json", coco(3))
    numbered = read("cvit/flickr30k", data.root, "test")
    assert numbered[2].references == ("a plain blue picture number 2", "picture 3")
    assert numbered[2].meta["shape"] == "captioning"
