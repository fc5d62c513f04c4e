"""A published benchmark of one task without media, which has variants, and its data set on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
