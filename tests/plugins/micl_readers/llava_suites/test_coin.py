"""CoIN's files: two sets of instructions, and answers in the files of other data sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Media


def test_answers_of_scienceqa_are_letters_of_problems_json(build: Any, read: Any) -> None:
    data = build("coin")
    rows = read("coin/scienceqa", data.root, "test")
    assert [row.references for row in rows] == [("A",), ("B",), ("C",)]
    assert [len(row.media) for row in rows] == [1, 0, 1]
    assert rows[0].meta == {"category": "natural science"}
    problems = {f"q{n}": {"choices": ["x", "y"], "answer": 1} for n in range(3)}
    data.document("cl_dataset/ScienceQA/problems.json", problems)
    assert [row.references for row in read("coin/scienceqa", data.root, "test")] == [("B",)] * 3


def test_answers_of_scienceqa_must_be_letters_without_problems_json(build: Any, read: Any) -> None:
    data = build("coin")
    (data.root / "cl_dataset/ScienceQA/problems.json").unlink()
    items = data.items("Instructions_Original/ScienceQA/test.json")
    data.write("Instructions_Original/ScienceQA/test.json", [items[0], {**items[1], "answer": "west"}])
    row, fault = read("coin/scienceqa", data.root, "test")
    assert row.references == ("A",)
    assert fault.startswith("Instructions_Original/ScienceQA/test.json:3: the answer 'west' is not the letter")


def test_textvqa_has_the_ten_answers_of_its_annotations_and_unique_ids(build: Any, read: Any) -> None:
    rows = read("coin/textvqa", build("coin").root, "test")
    assert [row.id for row in rows] == ["0#1", "0#2", "1"]
    assert [len(row.references) for row in rows] == [10, 10, 10]
    assert rows[1].references[0] == "2011"
    assert rows[1].meta == {"question_id": "0"}


def test_predictions_of_questions_that_share_an_id_are_matched_in_their_order(
    build: Any, micl: Any, tmp_path: Path
) -> None:
    assert micl("prepare", "coin/textvqa", "--root", build("coin").root).code == 0
    predictions = [("1", "apple"), ("0", "Nokia"), ("0", "2011")]
    lines = [json.dumps({"question_id": name, "text": text}) for name, text in predictions]
    (tmp_path / "answers.jsonl").write_text("\n".join(lines))
    done = micl("score", tmp_path / "answers.jsonl", "--task", "coin/textvqa", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["scores"][0]["score"] == pytest.approx(
        100 * (1 + 1 + 0.6) / 3
    )  # two of ten agree on 2011
    (tmp_path / "more.jsonl").write_text("\n".join([*lines, lines[1]]))
    assert micl("score", tmp_path / "more.jsonl", "--task", "coin/textvqa").code == 4


def test_a_question_that_is_not_in_the_annotations_of_textvqa_is_a_fault(build: Any, read: Any) -> None:
    data = build("coin")
    items = data.items("Instructions_Original/TextVQA/test.json")
    data.write("Instructions_Original/TextVQA/test.json", [{**items[0], "text": "Which shop?"}])
    assert read("coin/textvqa", data.root, "test") == [
        "Instructions_Original/TextVQA/test.json:2: the annotations of TextVQA have no such question about 0"
    ]


def test_textvqa_is_also_found_by_the_id_of_a_question(build: Any, read: Any) -> None:
    data = build("coin")
    items = data.items("Instructions_Original/TextVQA/test.json")
    data.write("Instructions_Original/TextVQA/test.json", [{**items[0], "question_id": 34602, "text": "Brand?"}])
    (row,) = read("coin/textvqa", data.root, "test")
    assert (row.id, row.references) == ("34602", ("apple",) * 10)


def test_gqa_has_the_answers_of_its_questions_by_id(build: Any, read: Any) -> None:
    data = build("coin")
    assert [row.references for row in read("coin/gqa", data.root, "test")] == [("yes",), ("left",), ("dog",)]
    data.document("cl_dataset/GQA/testdev_balanced_questions.json", {"q0": {"answer": "no"}})
    _, *faults = read("coin/gqa", data.root, "test")
    assert [fault.partition(": ")[2] for fault in faults] == [
        f"cl_dataset/GQA/testdev_balanced_questions.json has no question q{n}" for n in (1, 2)
    ]


def test_boxes_and_sizes_are_kept_for_the_scorer(build: Any, read: Any) -> None:
    row = read("coin/grounding", build("coin").root, "test")[0]
    assert row.meta == {"bbox": [0.1, 0.2, 0.5, 0.6], "size": [640.0, 480.0]}
    assert row.references == ("[0.1, 0.2, 0.5, 0.6]",)


@pytest.mark.parametrize("box", [[0.1, 0.2, 0.5, 0.6], "[0.1,0.2,0.5,0.6]", "0.1, 0.2, 0.5, 0.6"])
def test_boxes_may_be_lists_or_texts(box: Any, build: Any, read: Any) -> None:
    data = build("coin")
    items = data.items("Instructions_Original/Grounding/test.json")
    data.write("Instructions_Original/Grounding/test.json", [{**items[0], "answer_bbox": box}])
    assert read("coin/grounding", data.root, "test")[0].meta["bbox"] == [0.1, 0.2, 0.5, 0.6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_bbox": [0.1, 0.2]}, "answer_bbox is not a list of 4 numbers"),
        ({"answer_bbox": "[0, 0, 1]"}, "answer_bbox is not a list of 4 numbers"),
        ({"answer_bbox": "[0, 0, 1, nan]"}, "answer_bbox is not a list of 4 numbers"),
        ({"answer_bbox": "left"}, "answer_bbox is not a list of 4 numbers"),
        ({"answer_bbox": [0, 0, 1, 10**400]}, "answer_bbox is not a list of 4 numbers"),
        ({"answer_bbox": [False, 0, 1, 1]}, "answer_bbox is not a list of 4 numbers"),
        ({"answer_bbox": [0.5, 0.2, 0.1, 0.6]}, "has no area"),
        ({"size": [640, 0]}, "has no area"),
        ({"size": None}, "size is not a list of 2 numbers"),
    ],
)
def test_damaged_boxes_are_faults(change: dict[str, Any], message: str, build: Any, read: Any) -> None:
    data = build("coin")
    items = data.items("Instructions_Original/Grounding/test.json")
    data.write("Instructions_Original/Grounding/test.json", [{**items[0], **change}])
    (fault,) = read("coin/grounding", data.root, "test")
    assert fault.startswith("Instructions_Original/Grounding/test.json:2: ")
    assert message in fault


def test_validation_files_are_the_tests_of_vizwiz_and_vqav2(build: Any, read: Any) -> None:
    data = build("coin")
    for task, image in (("vizwiz", "VizWiz/val/0.jpg"), ("vqav2", "COCO2014/val2014/0.jpg")):
        assert str(read(f"coin/{task}", data.root, "test")[0].media[0].path) == f"cl_dataset/{image}"
    assert str(read("coin/ocr-vqa", data.root)[0].media[0].path) == "cl_dataset/OCR-VQA/images/train0.jpg"
    assert str(read("coin/imagenet", data.root)[0].media[0].path) == "cl_dataset/ImageNet_withlabel/train/0.JPEG"


@pytest.mark.parametrize("prompts", ["original", "type2"])
def test_traps_of_training_files_are_read_alike_in_both_sets(prompts: str, build: Any, read: Any) -> None:
    data = build("coin")
    shutil.copytree(data.root / "Instructions_Original", data.root / "Instructions_Type2")
    path = f"Instructions_{prompts.title()}/ImageNet/train.json"
    for name, root in (("0.JPEG", ""), ("1.JPEG", "./"), ("2.JPEG", "cl_dataset/")):
        turns = [("human", "Which?\n<image>"), ("gpt", "red"), ("human", "Sure?"), ("gpt", "yes")]
        item = {"id": "same", "image": f"{root}ImageNet_withlabel/train/{name}"}
        items = [{**item, "conversations": [{"from": speaker, "value": text} for speaker, text in turns]}]
        data.write(path, items * 2)
        rows = read("coin/imagenet", data.root, "train", prompts)
        assert [row.id for row in rows] == ["train-same", "train-same/2", "train-same#2", "train-same/2#2"]
        image = Media("image", Path(f"cl_dataset/ImageNet_withlabel/train/{name}"))
        assert rows[1].content == (image, "Which?\nred\nSure?")


def test_both_spellings_of_the_folder_and_both_sets_of_instructions(build: Any, read: Any, micl: Any) -> None:
    data = build("coin")
    (data.root / "Instructions_Original").rename(data.root / "Instruction_Original")
    assert read("coin/imagenet", data.root, "test")[0].prompt.startswith("Which colour")
    done = micl("prepare", "coin/imagenet", "--root", data.root, "--prompts", "type2")
    assert done.code == 4
    assert "no Instructions_Type2/ImageNet/train.json or Instruction_Type2/ImageNet/train.json" in done.err
    shutil.copytree(data.root / "Instruction_Original", data.root / "Instructions_Type2")
    items = data.items("Instructions_Type2/ImageNet/test.json")
    data.write("Instructions_Type2/ImageNet/test.json", [{**item, "text": "Name it."} for item in items])
    done = micl("prepare", "coin/imagenet", "--root", data.root, "--prompts", "type2", "--json")
    assert json.loads(done.out)["tasks"][0]["prompts"] == "type2"
    assert read("coin/imagenet", data.root, "test", "type2")[0].prompt == "Name it."


def test_the_annotations_of_textvqa_must_be_there(build: Any, micl: Any) -> None:
    data = build("coin")
    (data.root / "cl_dataset/TextVQA/TextVQA_0.5.1_val.json").unlink()
    done = micl("prepare", "coin/textvqa", "--root", data.root)
    assert done.code == 4
    assert "has no cl_dataset/TextVQA/TextVQA_0.5.1_val.json or TextVQA/TextVQA_0.5.1_val.json" in done.err


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("ScienceQA/problems.json", "[]", "ScienceQA/problems.json: it is not an object"),
        ("ScienceQA/problems.json", '{"q0": {"choices": ["x"], "answer": 3}}', "answer 3 is not one of its 1 choices"),
        ("ScienceQA/problems.json", '{"q0": {"choices": ["x"]}}', "the key 'answer' is missing"),
        ("GQA/testdev_balanced_questions.json", "[1]", "it is not an object"),
        ("GQA/testdev_balanced_questions.json", "{", "GQA/testdev_balanced_questions.json"),
        ("TextVQA/TextVQA_0.5.1_val.json", '{"data": [{"answers": []}]}', "answers is not a list of texts"),
        ("TextVQA/TextVQA_0.5.1_val.json", "{}", "it has no key 'data'"),
    ],
)
def test_damaged_files_with_answers_are_refused(path: str, text: str, message: str, build: Any, micl: Any) -> None:
    data = build("coin")
    data.text(f"cl_dataset/{path}", text)
    task = path.partition("/")[0].lower()
    done = micl("prepare", f"coin/{task}", "--root", data.root)
    assert (done.code, done.out) == (4, "")
    assert message in done.err
    assert path in done.err


def test_training_files_of_coin_asd_are_chosen_by_the_share_that_is_rewritten(build: Any, read: Any, micl: Any) -> None:
    data = build("coin-asd")
    items = data.items("annotations/GQA/train_x20.json")
    data.write("annotations/GQA/train_x20.json", items[:2])
    assert len(read("coin-asd/gqa", data.root, "train")) == 2
    assert len(read("coin-asd/gqa", data.root, "train", "original")) == 4
    done = micl("prepare", "coin-asd/gqa", "--root", data.root, "--prompts", "x50")
    assert done.code == 4
    assert "annotations/GQA/train_x50.json" in done.err
    assert "There are training files for --prompts x20, original." in done.err
