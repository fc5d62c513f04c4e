"""Paths that are given in place of names of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from micl_cli.data.path_hint import path_hint

FILE = "It is a file; prepare its examples as a task: micl prepare --from "


@pytest.fixture(autouse=True)
def files(tmp_path: Path, isolated: Path) -> None:
    (tmp_path / "My Shapes.csv").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "birds.jsonl").touch()
    (tmp_path / "own_task").mkdir()
    (tmp_path / "own_task" / "task.toml").touch()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mini/my shapes.csv", f"{FILE}'My Shapes.csv' --as own/my_shapes"),
        ("data/birds.jsonl", f"{FILE}data/birds.jsonl --as own/birds"),
        ("mini/data", "It is a folder; prepare its examples as a task: micl prepare --from data --as own/data"),
        ("./own_task", "It is a folder; prepare the task in it: micl prepare own_task"),
        ("mini/img_cap", ""),
        ("nowhere/x.csv", ""),
        ("mini/", ""),
    ],
)
def test_a_path_is_prepared_by_the_command_in_the_hint(name: str, hint: str) -> None:
    assert path_hint(name) == hint


@pytest.mark.parametrize("words", [("learn", "--strategy", "finetune", "--tasks"), ("score", "x", "--task")])
def test_commands_that_take_tasks_say_how_to_prepare_a_file(micl: Any, words: tuple[str, ...]) -> None:
    done = micl(*words, "data/birds.jsonl")
    assert (done.code, f"hint: {FILE}data/birds.jsonl --as own/birds\n" in done.err) == (4, True)


def test_prepare_says_how_to_prepare_a_file(micl: Any) -> None:
    done = micl("prepare", "data/birds.jsonl")
    assert (done.code, done.err.startswith("error: data/birds.jsonl is a file, and not the name of a task")) == (
        2,
        True,
    )
    assert f"hint: {FILE}data/birds.jsonl" in done.err
