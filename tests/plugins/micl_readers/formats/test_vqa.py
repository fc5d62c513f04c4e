"""VQA v2: two files, ten answers a question, images by number."""

from __future__ import annotations

from typing import Any

QUESTIONS = "v2_OpenEnded_mscoco_{}2014_questions.json"
ANSWERS = "v2_mscoco_{}2014_annotations.json"


def question(number: int, image: int) -> dict[str, Any]:
    return {"image_id": image, "question": f"What is {number}?", "question_id": number}


def answers(number: int, image: int) -> dict[str, Any]:
    given = [{"answer": "red" if n < 7 else "pink", "answer_confidence": "yes", "answer_id": n} for n in range(10)]
    return {"question_id": number, "image_id": image, "multiple_choice_answer": "red", "answers": given}


def write(data_folder: Any, split: str, asked: Any, given: Any) -> Any:
    head = {"info": {}, "task_type": "Open-Ended", "data_type": "mscoco", "license": {}, "data_subtype": f"{split}2014"}
    data_folder.write(f"questions/{ANSWERS.format(split)}", {**head, "annotations": given})
    return data_folder.write(f"questions/{QUESTIONS.format(split)}", {**head, "questions": asked})


def test_questions_are_joined_with_their_answers(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("train2014/COCO_train2014_000000000042.jpg", "val2014/COCO_val2014_000000000007.jpg")
    for path in data_folder.root.rglob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    train = write(data_folder, "train", [question(420, 42)], [answers(420, 42)])
    test = write(data_folder, "val", [question(70, 7), question(71, 7)], [answers(71, 7), answers(70, 7)])
    for path in data_folder.root.rglob("*.png"):
        import PIL.Image

        PIL.Image.open(path).save(path.with_suffix(".jpg"))
    rows = rows_of("--from", f"train={train}", "--from", f"test={test}", "--media-root", data_folder.root)
    assert [row["id"] for row in rows] == ["train-420", "70", "71"]
    assert rows[0]["image"] == "train2014/COCO_train2014_000000000042.jpg"
    assert rows[0]["references"] == ["red"] * 7 + ["pink"] * 3
    assert (rows_of.task["type"], rows_of.task["metric"]) == ("qa", "vqa_accuracy")


def test_what_does_not_fit_together_is_named(data_folder: Any, micl: Any) -> None:
    path = write(data_folder, "train", [question(1, 2), question(3, 2), question(3, 2)], [answers(3, 2), answers(9, 2)])
    failed = micl("prepare", "--from", path, "--as", "x", "--split", "50/50")
    assert failed.code == 4
    for reason in ("question 1 has no answers", "question id 3 occurs twice", "answers to question 9, which is not"):
        assert reason in failed.err


def test_the_file_of_answers_may_have_another_name(data_folder: Any, rows_of: Any, micl: Any) -> None:
    data_folder.pictures("2.png")
    asked = data_folder.write("asked.json", {"questions": [question(n, 2) for n in (1, 3)]})
    given = data_folder.write("given.json", {"annotations": [answers(n, 2) for n in (1, 3)]})
    failed = micl("prepare", "--from", asked, "--as", "own/x", "--split", "50/50")
    assert failed.code == 4
    assert "Name the file of answers: -o annotations FILE" in failed.err
    wrong = micl("prepare", "--from", given, "--as", "own/x", "--split", "50/50")
    assert wrong.code == 4
    done = micl("prepare", "--from", asked, "-o", "annotations", given, "--as", "own/x", "--split", "50/50")
    assert done.code == 4  # one image is in one split
    assert "own/x has no train examples" in done.err
