"""Likely mistakes with a benchmark on disk: each error says what was probably meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

RS = "mllm-cl-domain/rs"


@pytest.mark.parametrize("below", [True, False])
def test_a_root_one_level_off_is_corrected(write: Any, micl: Any, below: bool) -> None:
    root = write()
    done = micl("prepare", RS, "--root", root / "RS" if below else root.parent)
    assert (done.code, done.out) == (4, "")
    assert f"error: {RS}: " in done.err
    assert f"hint: Did you mean --root {root}?\n" in done.err


def test_nothing_is_prepared_of_a_benchmark_that_lacks_a_task(write: Any, micl: Any, isolated: Path) -> None:
    root = write()
    (root / "Sci" / "test.json").unlink()
    done = micl("prepare", "mllm-cl-domain", "--root", root)
    assert (done.code, done.out) == (4, "")
    assert "error: mllm-cl-domain/sci: " in done.err
    others = ",".join(f"mllm-cl-domain/{task}" for task in ("rs", "med", "ad", "fin"))
    assert f"can be prepared without it: micl prepare {others}\n" in done.err
    assert not list(isolated.rglob("prepared.json"))
    assert micl("prepare", others, "--root", root).code == 0


def test_tasks_that_were_prepared_before_an_error_are_named(write: Any, micl: Any) -> None:
    root = write()
    (root / "Med" / "test.json").write_text('[{"question_id": 1')
    done = micl("prepare", "mllm-cl-domain", "--root", root)
    assert done.code == 4
    assert f"prepared before: {RS}\nerror: Med/test.json:1: " in done.err


def test_an_unknown_variant_is_reported_before_any_task_is_prepared(write: Any, micl: Any, isolated: Path) -> None:
    done = micl("prepare", "mllm-cl-ability/math,mllm-cl-ability/ocr", "--root", write(), "--scorer", "rules")
    assert done.code == 2
    assert "error: mllm-cl-ability/ocr has no scorer variant 'rules'\n" in done.err
    assert not list(isolated.rglob("prepared.json"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rs", f"Did you mean '{RS}'?"),
        ("mllm-cl", "Did you mean 'mllm-cl-ability' or 'mllm-cl-domain'?"),
        ("img_cpa", "Did you mean 'mini/img_cap'?"),
    ],
)
def test_a_name_without_its_benchmark_is_completed(write: Any, micl: Any, name: str, hint: str) -> None:
    done = micl("prepare", name, "--root", write())
    assert (done.code, done.out) == (3, "")
    assert hint in done.err


def test_the_folder_of_a_benchmark_is_recognised(write: Any, micl: Any) -> None:
    root = write()
    done = micl("prepare", root)
    assert done.code == 4
    assert f"{root} contains no task" in done.err
    assert f"micl prepare mllm-cl-domain --root {root}\n" in done.err


def test_a_file_is_not_a_root(write: Any, micl: Any) -> None:
    file = write() / "RS" / "test.json"
    done = micl("prepare", RS, "--root", file)
    assert done.code == 4
    assert f"{file} is not a folder" in done.err


def test_predictions_for_a_whole_benchmark_name_its_tasks(micl: Any, tmp_path: Path) -> None:
    file = tmp_path / "merge.jsonl"
    file.write_text('{"question_id": 0, "text": "no"}\n')
    done = micl("score", file, "--task", "mllm-cl-domain")
    assert done.code == 3
    assert f"mllm-cl-domain is a benchmark; name one of its tasks: {RS}, mllm-cl-domain/med, " in done.err


def test_all_tasks_that_are_not_prepared_are_named(micl: Any) -> None:
    done = micl("learn", "--strategy", "finetune", "--tasks", f"{RS},mllm-cl-domain/med", "--dry-run")
    assert done.code == 4
    assert f"error: {RS}, mllm-cl-domain/med are not prepared\n" in done.err
    assert f"hint: Prepare them: micl prepare {RS},mllm-cl-domain/med --root DIR\n" in done.err


def test_an_order_that_no_benchmark_has_is_refused(micl: Any) -> None:
    done = micl("learn", "--strategy", "finetune", "--tasks", "mini:order-1", "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "'mini:order-1' is neither a task nor an order of a benchmark" in done.err
