"""Answers of a run: showing, exporting, and scoring them again."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def change(isolated: Path) -> Any:
    """Change the store by SQL."""

    def call(statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(isolated / "micl.db")) as connection:
            connection.execute(statement, values)
            connection.commit()

    return call


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_answers_are_shown_with_prompt_references_and_score(finished: str, micl: Any, change: Any) -> None:
    change("UPDATE predictions SET answer = 'loud', score = 0 WHERE task = 'own/aud_qa' AND number = 0 AND after = 2")
    done = micl("predictions", "@last", "--task", "aud_qa")
    assert (done.code, done.err) == (0, "")
    heading, first, *_ = done.out.split("\n\n")
    assert heading.startswith("own/aud_qa, test split, after stage 2: accuracy ")
    assert heading.endswith(", 3 answers")
    assert first.splitlines()[1:] == ["  prompt      which one?", "  answer      loud", "  references  middle"]
    assert first.splitlines()[0].endswith("  score 0.00")


def test_the_suffix_of_a_file_chooses_the_format(finished: str, micl: Any, tmp_path: Path) -> None:
    words = ("predictions", finished, "--task", "aud_qa", "-o")
    for name, start in (("a.jsonl", "{"), ("a.CSV", "run,"), ("a.txt", "own/aud_qa, "), ("a", "own/aud_qa, ")):
        assert micl(*words, name).code == 0
        assert (tmp_path / name).read_text().startswith(start)
    assert micl("score", "a.jsonl", "--task", "own/aud_qa").code == 0
    assert micl(*words, "b.jsonl", "--format", "text").code == 0
    assert (tmp_path / "b.jsonl").read_text() == (tmp_path / "a.txt").read_text()
    refused = micl(*words, "a.json")
    assert (refused.code, (tmp_path / "a.json").exists()) == (2, False)
    assert refused.err == (
        "error: the suffix .json of a.json stands for no format\n"
        "hint: Name a file with one of .csv, .jsonl, .txt, or the format with --format.\n"
    )
    not_json = micl("score", "a.txt", "--task", "own/aud_qa")
    assert (not_json.code, "micl predictions RUN --format jsonl -o answers.jsonl" in not_json.err) == (4, True)


def test_only_wrong_answers_are_shown_on_request(finished: str, micl: Any, change: Any) -> None:
    change("UPDATE predictions SET score = 100")
    change("UPDATE predictions SET score = 0 WHERE task = 'own/aud_qa' AND number = 1")
    change("UPDATE predictions SET score = 50 WHERE task = 'own/aud_qa' AND number = 2")
    change("UPDATE predictions SET missing = 1 WHERE task = 'own/img_cap' AND number = 0")
    words = ("predictions", finished, "--format", "jsonl")
    assert [(row["task"], row["score"]) for row in lines(micl(*words, "--wrong").out)] == [
        ("own/aud_qa", 0.0),
        ("own/img_cap", 100.0),
    ]
    assert [row["score"] for row in lines(micl(*words, "--below", "60", "--task", "aud_qa").out)] == [0.0, 50.0]
    assert len(lines(micl(*words, "--limit", "1").out)) == 2


def test_stage_and_task_are_chosen(finished: str, micl: Any) -> None:
    first = lines(micl("predictions", finished, "--stage", "1", "--format", "jsonl").out)
    assert {(row["task"], row["stage"], row["split"]) for row in first} == {("own/img_cap", 1, "test")}
    last = lines(micl("predictions", finished, "--format", "jsonl").out)
    assert {(row["task"], row["stage"]) for row in last} == {("own/img_cap", 2), ("own/aud_qa", 2)}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--task", "img_qa"), 2, "names no task with answers"),
        (("--stage", "1", "--task", "aud_qa"), 2, "after stage 1 are not stored"),
        (("--split", "val"), 2, "(val) after stage"),
        (("--format", "release"), 2, "holds the answers to one task"),
    ],
)
def test_answers_that_are_not_stored(finished: str, micl: Any, words: Any, code: int, message: str) -> None:
    done = micl("predictions", finished, *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_run_without_answers_says_how_to_store_them(finished: str, micl: Any, change: Any) -> None:
    change("DELETE FROM predictions")
    done = micl("predictions", finished)
    assert (done.code, f"micl eval {finished} --predictions all" in done.err) == (1, True)


def test_answers_of_an_earlier_version_have_no_scores_to_choose_by(finished: str, micl: Any, change: Any) -> None:
    change("UPDATE predictions SET score = NULL")
    assert micl("predictions", finished).code == 0
    done = micl("predictions", finished, "--wrong")
    assert (done.code, "without scores" in done.err) == (2, True)


@pytest.mark.parametrize("style", ["text", "csv", "jsonl"])
def test_control_characters_are_escaped(finished: str, micl: Any, change: Any, style: str) -> None:
    nasty = "=1+1\x1b[2J\u202e\x9b\n"
    change('UPDATE predictions SET answer = ?, "references" = ?', nasty, json.dumps([nasty]))
    out = micl("predictions", finished, "--format", style).out
    assert not set("\x1b\u202e\x9b") & set(out)
    if style == "jsonl":
        assert {row["text"] for row in lines(out)} == {nasty}
    if style == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {row["answer"] for row in rows} == {"'=1+1\\x1b[2J\\u202e\\x9b\\n"}


def test_a_release_file_has_the_keys_of_releases(finished: str, micl: Any, tmp_path: Path, change: Any) -> None:
    change("UPDATE predictions SET missing = 1 WHERE task = 'own/aud_qa' AND number = 0")
    file = tmp_path / "merge.jsonl"
    done = micl("predictions", finished, "--task", "own/aud_qa", "--format", "release", "-o", file)
    assert (done.code, done.out) == (0, "")
    rows = lines(file.read_text())
    assert {tuple(row) for row in rows} == {("question_id", "prompt", "text", "answer_id", "model_id", "metadata")}
    assert len(rows) == 2
    assert {row["prompt"] for row in rows} == {"which one?"}


def test_a_file_that_cannot_be_written_is_an_error(finished: str, micl: Any, tmp_path: Path) -> None:
    done = micl("predictions", finished, "-o", tmp_path / "none" / "a.txt")
    assert (done.code, "cannot write" in done.err) == (1, True)


@pytest.mark.parametrize("style", ["jsonl", "release"])
@pytest.mark.parametrize("task", ["own/img_cap", "own/aud_qa"])
def test_exported_answers_score_exactly_what_the_run_scored(
    finished: str, micl: Any, tmp_path: Path, style: str, task: str
) -> None:
    (run,) = json.loads(micl("report", finished, "--json").out)["runs"]
    words = ("--format", style) if style == "jsonl" else ("--format", style, "--task", task)
    assert micl("predictions", finished, *words, "-o", tmp_path / "answers").code == 0
    done = micl("score", tmp_path / "answers", "--task", task, "--examples", "3", "--json")
    (score,) = json.loads(done.out)["scores"]
    (own,) = (s for s in run["scores"] if (s["task"], s["after"], s["main"]) == (task, 2, True))
    assert (score["score"], score["metric"], score["n"]) == (own["value"], own["metric"], own["n"])
    assert (score["missing"], score["unknown"], score["repeated"], score["figures"]) == (0, 0, 0, own["figures"])


def test_an_unknown_format_is_refused_for_any_number_of_tasks(finished: str, micl: Any) -> None:
    done = micl("predictions", finished, "--format", "html")
    assert (done.code, done.out) == (2, "")
    assert "have no format 'html'" in done.err
    assert "It has: text, csv, jsonl, release." in done.err
