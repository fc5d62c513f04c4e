"""Runs to export: learnt once for each backbone and strategy, and copied to the home of each test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from micl_cli.cli.main import run as run_micl
from micl_cli.data.prepared import open_task

LEARN = ("learn", "--quiet", "--max-steps", "3", "--batch-size", "4", "--accumulation", "1", "--lr", "0.05")
LEARN += ("--max-new-tokens", "8", "--eval-examples", "3", "--validation-examples", "2", "-b", "dtype", "fp32")
TASKS = {"composed": "own/img_cap,own/aud_qa", "hf": "own/img_cap,own/img_qa"}


class Learnt(NamedTuple):
    """A finished run in a home folder."""

    home: Path
    run: str


@pytest.fixture(scope="session")
def learnt(
    prepared_home: Path, preset: Path, folders: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Learnt]:
    """Learn two tasks with a backbone ("composed", "hf") and further words, once in a session."""

    @cache
    def call(kind: str, *words: str) -> Learnt:
        home = tmp_path_factory.mktemp(f"learnt-{kind}") / "home"
        shutil.copytree(prepared_home, home)
        base = f"composed:{preset}" if kind == "composed" else f"hf:{folders('llava')}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MICL_HOME", str(home))
            patch.chdir(home.parent)
            assert run_micl([*LEARN, "--backbone", base, "--tasks", TASKS[kind], *words]) == 0
        return Learnt(home, next((home / "runs").iterdir()).name)

    return call


@pytest.fixture
def at_home(learnt: Callable[..., Learnt], isolated: Path) -> Callable[..., str]:
    """Copy the home of ``learnt`` to that of this test; returns the id of the run."""

    def call(kind: str, *words: str) -> str:
        home, run = learnt(kind, *words)
        shutil.copytree(home, isolated)
        return run

    return call


@pytest.fixture
def stored_answers(micl: Any, isolated: Path) -> Callable[..., list[dict[str, Any]]]:
    """The stored answers to a task after a stage, each with the file of its medium and its prompt."""

    def call(run: str, task: str, stage: int = 2) -> list[dict[str, Any]]:
        text = micl("predictions", run, "--task", task, "--stage", stage, "--format", "jsonl").out
        examples = {example.id: example for example in open_task(task, isolated).examples("test")}
        answers = []
        for record in map(json.loads, text.splitlines()):
            example = examples[record["question_id"]]
            (medium,) = example.media
            answers.append({"path": medium.path, "prompt": example.prompt, "answer": record["text"]})
        return answers

    return call
