from __future__ import annotations

from importlib import import_module

from micl_cli.api import TaskSource
from micl_tasks import plugin


def test_every_announced_task_exists_under_its_name() -> None:
    found: dict[str, str] = {}

    def register(name: str, target: str, summary: str = "") -> None:
        assert summary
        found[name] = target

    plugin.micl_register_tasks(register)
    subjects = {"mini": "aud img pat vid", "mini-tuning": "lamp mel", "open": "aud img vid"}
    assert sorted(found) == sorted(
        f"{benchmark}/{subject}_{type}"
        for benchmark, names in subjects.items()
        for subject in names.split()
        for type in ("cap", "qa")
    )
    for name, target in found.items():
        module, _, attribute = target.partition(":")
        task = getattr(import_module(module), attribute)
        assert issubclass(task, TaskSource)
        assert f"{task.benchmark}/{task.name}" == name
