"""Fixtures: a published benchmark on disk, and cells of sweeps and studies that are learnt in this process."""

from __future__ import annotations

import io
import json
import sys
from collections import deque
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

import pytest

from micl_cli.sweep import worker
from micl_cli.sweep.executor import CellEvent, ProcessExit
from micl_cli.sweep.worker import CellTask

TUNED_TASKS = "own/img_cap,own/aud_qa"

READER = """
from micl_cli.api import Count, Reader, ReaderTask, Row, rows_of

class Suite(Reader):
    "A suite of one task."
    benchmark, title, licence, citation, origin = "suite", "The Suite", "CC BY 4.0", "Ada (2026)", "ada/suite"
    tasks = {"one": ReaderTask(
        modalities=frozenset(), type="qa", scorers={"release": "accuracy", "strict": "vqa_accuracy"},
        prompts=("published", "file"), description="questions", note="its prompts depend on the answer",
        counts={"train": Count(2000), "test": Count(30, verified=False)}, max_new_tokens=16,
    )}
    def locate(self, task, source):
        return {"all": source.find("all.json")}
    def rows(self, task, files, source):
        def row(where, item):
            category = {"category": item["category"]} if "category" in item else {}
            return Row(item["id"], item["split"], (item["text"],), tuple(item["answers"]), (), category)
        return rows_of(source.json_items(files["all"]), row)
"""
PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_readers(register):
    register("suite", "suite_reader:Suite", "a suite")
"""


@pytest.fixture
def suite(install: Any, tmp_path: Path) -> Path:
    """Install the benchmark ``suite``; returns the folder of its data set: questions 1 to 4, of two categories."""
    files = {"suite_plugin.py": PLUGIN, "suite_reader.py": READER}
    install("micl-suite", entry_points="[micl]\nsuite = suite_plugin\n", files=files)
    root = tmp_path / "suite"
    root.mkdir()
    train = {"id": "t", "split": "train", "text": "how many?", "answers": ["two"]}
    answers = (["two"] * 10, ["red"] * 2 + ["pink"] * 8, ["three"] * 10, ["blue"] * 10)
    test = [
        {"id": f"{n}", "split": "test", "text": "which?", "answers": texts, "category": "count" if n % 2 else "colour"}
        for n, texts in enumerate(answers, 1)
    ]
    (root / "all.json").write_text(json.dumps([train, *test]))
    return root


class InProcess:
    """Stands in for the executor of sweeps: cells are learnt in this process, without the start of another."""

    learnt: ClassVar[list[str]] = []
    killed: ClassVar[list[str]] = []
    """Runs whose processes seem to be killed; the name of one is removed when that has happened."""

    def __init__(self, jobs: int = 1) -> None:
        self.waiting: deque[CellEvent | ProcessExit] = deque()

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __len__(self) -> int:
        return len(self.waiting)

    def start(self, task: CellTask) -> None:
        if task.run in self.killed:
            self.killed.remove(task.run)
            self.waiting.append(ProcessExit(task.run, -9, ""))
            return
        errors, former = io.StringIO(), sys.stdin
        sys.stdin = io.StringIO(json.dumps(task.as_json()))
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(errors):
                code = worker.main()
        finally:
            sys.stdin = former
        self.learnt.append(task.run)
        self.waiting.append(ProcessExit(task.run, code, errors.getvalue()))

    def next_message(self, timeout: float) -> CellEvent | ProcessExit | None:
        return self.waiting.popleft()

    def stop(self) -> None:
        pass


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Learn the cells of sweeps and studies in this process. Returns the ids of the runs that were started."""
    monkeypatch.setattr("micl_cli.sweep.scheduler.ProcessExecutor", InProcess)
    monkeypatch.setattr(InProcess, "learnt", [])
    monkeypatch.setattr(InProcess, "killed", [])
    return InProcess.learnt


@pytest.fixture
def kill(in_process: list[str]) -> list[str]:
    """The ids of runs whose process is killed when it starts for the first time."""
    return InProcess.killed


@pytest.fixture
def tune_words(learn_words: Any) -> Any:
    """The words of ``micl tune`` with ``toy``, by default on own/img_cap,own/aud_qa."""

    def call(*more: object) -> list[str]:
        words = learn_words("--strategy", "x", "--tasks", "y")
        settings = words[1 : words.index("--strategy")]
        del settings[settings.index("--lr") : settings.index("--lr") + 2]  # it would be fixed
        return ["tune", *settings, *(() if "--tasks" in more else ("--tasks", TUNED_TASKS)), *map(str, more)]

    return call


@pytest.fixture
def tune(home: Path, micl: Any, tune_words: Any, in_process: list[str]) -> Any:
    """Run ``micl tune`` in this process, and its runs as well."""
    return lambda *more: micl(*tune_words(*more))
