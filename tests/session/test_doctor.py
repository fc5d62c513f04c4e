"""What each check of an installation finds, and what it advises."""

from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from micl_cli.session import doctor
from micl_cli.settings import Settings, load_settings

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(isolated: Path) -> Settings:
    return load_settings()


def by_state(findings: Any) -> list[tuple[str, str]]:
    return [(finding.state, finding.hint) for finding in findings]


@pytest.mark.parametrize(("free", "state"), [(50e9, "ok"), (5e9, "warning"), (5e8, "problem")])
def test_little_space_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(1e12, 0, free))
    ((found, hint),) = by_state(doctor.disk(settings))
    assert found == state
    assert ("micl cache rm" in hint) == (state != "ok")


def test_leftovers_are_found(settings: Settings, isolated: Path) -> None:
    (isolated / "runs" / "ab12").mkdir(parents=True)
    (isolated / "runs" / "ab12" / ".stage.999999999.new").write_text("half")
    assert ("warning", "Remove them: micl cache rm --leftovers") in by_state(doctor.disk(settings))


def test_a_damaged_store_is_found(settings: Settings, isolated: Path) -> None:
    assert by_state(doctor.store(settings)) == [("ok", "")]
    isolated.mkdir()
    (isolated / "micl.db").write_text("no database at all, but long enough to be one")
    (finding,) = [each for each in doctor.examine(settings) if each.check == "store"]
    assert finding.state == "problem"
    assert "Move the file away" in finding.hint


def test_a_damaged_task_is_found(home: Path) -> None:
    assert [each.text for each in doctor.tasks(load_settings())] == ["3 prepared"]
    (home / "tasks" / "own" / "img_qa" / "task.toml").write_text("[")
    (finding,) = doctor.tasks(load_settings())
    assert (finding.state, "own/img_qa" in finding.text) == ("problem", True)
    assert "micl prepare own/img_qa" in finding.hint


def test_broken_plugins_are_found(install: Any) -> None:
    from micl_cli.registry import Registry

    source = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_metrics(register):
    register("odd", "micl_nowhere:Odd", "a metric")
"""
    install("micl-odd", entry_points="[micl]\nodd = odd_plugin\n", files={"odd_plugin.py": source})
    install("micl-bad", entry_points="[micl]\nbad = bad_plugin\n", files={"bad_plugin.py": "1 / 0"})
    findings = list(doctor.plugins(Registry.discover()))
    assert {finding.state for finding in findings} == {"problem"}
    text = " ".join(finding.text + finding.hint for finding in findings)
    assert "ZeroDivisionError" in text and "micl_nowhere" in text
    assert "pip uninstall micl-bad" in text and "pip uninstall micl-odd" in text


def test_missing_and_old_libraries_are_found_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = ["click>=999", "numpy>=1", "no-such-package-at-all>=2", 'pytest>=999; extra == "more"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: needed)
    findings = list(doctor.libraries())
    assert [(finding.state, finding.hint) for finding in findings] == [
        ("problem", 'pip install "click>=999"'),
        ("problem", 'pip install "no-such-package-at-all>=2"'),
    ]
    assert "no-such-package-at-all is not installed" in findings[1].text


def test_an_unsupported_python_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.8.1")
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: {"Requires-Python": ">=3.10"})
    (finding,) = doctor.python()
    assert (finding.state, "Python 3.8.1" in finding.text) == ("problem", True)


def test_a_torchvision_that_does_not_fit_torch_is_found(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    source = "raise RuntimeError('operator torchvision::nms does not exist')"
    install("torchvision", files={"torchvision/__init__.py": source}, version="0.1")
    (finding,) = doctor.torchvision()
    assert finding.state == "problem"
    assert "torchvision 0.1 does not fit torch" in finding.text and "nms" in finding.text
    assert "pip uninstall torchvision" in finding.hint


def test_a_gpu_that_torch_does_not_use_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", None)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    (finding,) = doctor.gpu()
    assert finding.state == "warning"
    assert "this build of torch is for CPUs" in finding.text
    assert "pytorch.org" in finding.hint


def test_4_bit_weights_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: str) -> float:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(doctor, "_four_bit_error", lambda device: 0.5)
    assert [finding.state for finding in doctor.four_bit()] == ["problem"]
    monkeypatch.setattr(doctor, "_four_bit_error", fail)
    assert [finding.state for finding in doctor.four_bit()] == ["warning"]


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise ValueError("odd")

    monkeypatch.setattr(doctor, "bfloat16", fail)
    found = {finding.check: finding for finding in doctor.examine(settings)}
    assert found["bfloat16"].text == "the check failed: ValueError: odd"
    assert found["plugins"].state == "ok"
