"""MLLM-CL's domains: five folders with the same files, and prompts that differ from those in the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Fault, ManifestError, Media, Row, Source
from micl_readers.mllm_cl import Domain

TASKS = ("rs", "med", "ad", "sci", "fin")


def test_the_tasks_are_in_the_published_order() -> None:
    assert tuple(Domain.tasks) == TASKS
    assert all(not count.verified for task in Domain.tasks.values() for count in task.counts.values())
    assert {task.max_new_tokens for task in Domain.tasks.values()} == {128}


def test_a_task_has_its_questions_by_their_published_ids(write: Any, rows: Any) -> None:
    found = rows(Domain, "rs", write())
    assert list(found) == ["train-0", "train-1", "train-1#2", "train-1/2", "train-3", "0", "1"]
    assert found["1"] == Row(
        "1", "test", (Media("image", Path("RS/images/1.png")), "Is a road present?"), ("no",), meta={"question_id": 1}
    )
    assert found["train-1"].content == (Media("image", Path("RS/images/1.png")), "Which colour is it?")
    assert found["train-3"].content == ("Which colour has the sky?",)


def prompts(found: dict[str, Any]) -> list[str]:
    return [row.prompt for row in found.values() if row.split == "test"]


def test_published_prompts_of_med_end_in_a_sentence(write: Any, rows: Any) -> None:
    root = write()
    suffix = " Answer the question with a single word (or phrase)."
    assert prompts(rows(Domain, "med", root)) == [f"Is a tumour present?{suffix}", f"What is it?{suffix}"]
    assert prompts(rows(Domain, "med", root, "file")) == ["Is a tumour present?", "What is it?"]


def test_published_prompts_of_fin_depend_on_the_answer(write: Any, rows: Any) -> None:
    root = write()
    assert prompts(rows(Domain, "fin", root)) == [
        "Does it rise? Only answer with yes or no directly.",
        "Which one? A. up B. down Answer with the given letter directly, e.g., A, B, C, D.",
    ]
    assert prompts(rows(Domain, "fin", root, "file")) == ["Does it rise?", "Which one? A. up B. down"]
    assert "depends on the right answer" in Domain.tasks["fin"].note


@pytest.mark.parametrize("task", ["rs", "ad", "sci"])
def test_other_prompts_are_those_of_the_file(write: Any, rows: Any, task: str) -> None:
    root = write()
    assert prompts(rows(Domain, task, root)) == prompts(rows(Domain, task, root, "file"))


def test_questions_of_sci_name_the_source_of_their_image(write: Any, rows: Any) -> None:
    found = rows(Domain, "sci", write())
    assert [found[name].meta for name in "01"] == [
        {"file": "AI2D_0.png", "category": "AI2D", "question_id": 0},
        {"file": "MapQA_1.png", "category": "MapQA", "question_id": 1},
    ]


def test_a_question_of_sci_without_image_cannot_be_scored(write: Any, rows: Any) -> None:
    root = write(Sci=[{"question_id": 5, "text": "Which letter?", "answer": "A"}])
    fault = rows(Domain, "sci", root)["5"]
    assert isinstance(fault, Fault)
    assert (fault.where, "no image" in fault.reason) == ("Sci/test.json:2", True)


@pytest.mark.parametrize(("task", "folder", "other"), [("med", "Med", "PathVQA"), ("ad", "AD", "DriveLM")])
def test_folders_may_have_the_names_of_the_authors_results(
    write: Any, rows: Any, task: str, folder: str, other: str
) -> None:
    root = write()
    (root / folder).rename(root / other)
    media = [row.media for row in rows(Domain, task, root).values() if row.media]
    assert all((root / medium.path).is_file() for (medium,) in media)


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_file_is_named(write: Any, task: str) -> None:
    root = write()
    for path in root.glob("*/test.json"):
        path.unlink()
    with pytest.raises(ManifestError, match=r"has no \w+/test\.json"):
        Domain().locate(task, Source(root, root, root))
