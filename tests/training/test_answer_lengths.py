"""Warnings of references that are longer than generated answers can be."""

from __future__ import annotations

from typing import Any

import pytest

from micl_cli.api import Answer
from micl_cli.testing import ToyBackbone
from micl_cli.training.evaluation import cut_answers


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the toy backbone count its tokens, which are bytes."""
    monkeypatch.setattr(ToyBackbone, "answer_lengths", lambda self, texts: [len(text.encode()) for text in texts])


def notes(learn: Any, *words: str) -> list[str]:
    done = learn("--dry-run", *words)
    assert done.code == 0, done.err
    return [line for line in done.err.splitlines() if "use --max-new-tokens" in line]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([Answer("a", True), Answer("b", False), Answer("c", True)], 2),
        ([Answer("a", False)], 0),
        ([], 0),
        (["a", "b"], None),
        ([Answer("a", True), "b"], None),
        ([Answer("a")], None),
    ],
)
def test_cut_answers_are_counted_if_the_backbone_tells(answers: list[str], expected: int | None) -> None:
    assert cut_answers(answers) == expected


def test_an_answer_is_its_text() -> None:
    assert Answer("a dog", cut=True) == "a dog"
    assert {Answer("a dog"): 1} == {"a dog": 1}


@pytest.mark.usefixtures("counting")
def test_the_dry_run_names_the_tasks_whose_references_are_too_long(learn: Any) -> None:
    (note,) = notes(learn, "--max-new-tokens", "5", "--tasks", "own/img_cap")
    assert note.startswith("note: own/img_cap: ")
    limit = note.rpartition("use --max-new-tokens ")[2]
    assert f"the longest has {int(limit) - 1} tokens" in note
    assert notes(learn, "--max-new-tokens", limit, "--tasks", "own/img_cap") == []


def test_nothing_is_said_of_a_backbone_that_does_not_count_tokens(learn: Any) -> None:
    assert notes(learn, "--max-new-tokens", "5") == []


@pytest.mark.usefixtures("counting")
def test_learning_warns_too_and_the_report_shows_the_share(learn: Any, micl: Any) -> None:
    run = learn("--max-new-tokens", "1", "--tasks", "own/img_cap")
    assert "references are longer than --max-new-tokens 1" in run.err
    report = micl("report", run.out.strip()).out
    assert "Answers cut at the maximum length (--max-new-tokens 1)" in report
