"""Checks of a request's tasks against each other."""

from __future__ import annotations

from typing import Any

import pytest

from micl_cli.api.task import Task
from micl_cli.errors import PlanError
from micl_cli.registry import Registry
from micl_cli.session.request import check_variants

READER = """
from micl_cli.api import Reader, ReaderTask

class Suite(Reader):
    "A suite with variants of some tasks."
    benchmark, title = "suite", "Suite"
    both = {"modalities": frozenset({"image"}), "type": "qa", "scorers": {"release": "accuracy", "strict": "cider"}}
    tasks = {
        "one": ReaderTask(**both, prompts=("published", "file")),
        "two": ReaderTask(**both, prompts=("published", "file")),
        "plain": ReaderTask(modalities=frozenset({"image"}), type="qa", scorers={"release": "accuracy"}),
    }
    def locate(self, task, source):
        return {}
    def rows(self, task, files, source):
        return iter(())
"""
PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_readers(register):
    register("suite", "suite_reader:Suite", "a suite")
"""


@pytest.fixture
def registry(install: Any) -> Registry:
    files = {"suite_plugin.py": PLUGIN, "suite_reader.py": READER}
    install("micl-suite", entry_points="[micl]\nsuite = suite_plugin\n", files=files)
    return Registry.discover()


def task(name: str, prompts: str = "published", scorer: str = "release", source: str = "suite") -> Task:
    return Task(name, frozenset({"image"}), "qa", "accuracy", prompts=prompts, scorer=scorer, source=source)


@pytest.mark.parametrize("what", ["prompts", "scorer"])
def test_tasks_of_a_benchmark_in_different_variants_are_refused(registry: Registry, what: str) -> None:
    other = {"prompts": "file", "scorer": "strict"}[what]
    with pytest.raises(PlanError, match=f"with {what} '{other}'") as caught:
        check_variants([task("suite/one"), task("suite/two", **{what: other})], registry)
    assert "micl prepare suite/two --root DIR" in caught.value.hint


@pytest.mark.parametrize(
    "tasks",
    [
        [task("suite/one"), task("suite/two")],
        [task("suite/one", "file", "strict"), task("suite/two", "file", "strict")],
        [task("suite/one", "file", "strict"), task("suite/plain")],
        [task("suite/one", "file", "strict"), task("own/one", "", "", "")],
        [task("suite/one", "file"), task("elsewhere/one", source="gone")],
    ],
)
def test_equal_variants_and_tasks_with_only_one_go_together(registry: Registry, tasks: list[Task]) -> None:
    check_variants(tasks, registry)
