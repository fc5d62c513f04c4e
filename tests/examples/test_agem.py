"""A stranger's plugin package: built, installed beside micl, and used by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "micl-agem"

pytestmark = pytest.mark.slow


def run(*words: str, at: Path, **environment: str) -> str:
    """Run a Python module in a process of its own and return what it says on stdout."""
    settings = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    ran = subprocess.run([sys.executable, "-m", *words], cwd=at, env=settings, capture_output=True, text=True)
    assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plugin's wheel is installed, beside the environment that has micl."""
    folder = tmp_path_factory.mktemp("agem")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    offline = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")
    run("pip", "wheel", *offline, "--no-build-isolation", "--wheel-dir", "wheels", str(source), at=folder)
    wheels = list((folder / "wheels").glob("micl_agem-*.whl"))
    assert len(wheels) == 1
    run("pip", "install", *offline, "--target", "site", str(wheels[0]), at=folder)
    return folder / "site"


def micl(site: Path, home: Path, *words: str) -> str:
    return run("micl_cli", *words, at=home.parent, PYTHONPATH=str(site), MICL_HOME=str(home))


def test_it_is_listed_with_its_distribution(site: Path, isolated: Path) -> None:
    parts = json.loads(micl(site, isolated, "plugins", "--json"))
    listed = parts["plugins"] if isinstance(parts, dict) else parts
    found = [part for part in listed if part["name"] == "agem"]
    assert [(part["kind"], part["distribution"], part["version"]) for part in found] == [
        ("strategies", "micl-agem", "0.1.0")
    ]


def test_its_options_are_shown(site: Path, isolated: Path) -> None:
    shown = micl(site, isolated, "plugins", "show", "strategies", "agem")
    assert "per_task" in shown
    assert "stored examples per task" in shown


def test_it_learns_by_name_and_is_reported(site: Path, isolated: Path) -> None:
    words = ["--strategy", "agem", "--tasks", "img_cap,aud_qa", "-o", "per_task", "8", "-o", "batch_size", "4"]
    limits = ["--max-steps", "3", "--eval-examples", "8", "--validation-examples", "4", "--max-new-tokens", "4"]
    events = [json.loads(line) for line in micl(site, isolated, "learn", *words, *limits, "--json").splitlines()]
    assert [e["tasks"] for e in events if e["event"] == "task_learned"] == [["mini/img_cap"], ["mini/aud_qa"]]
    assert events[-1]["event"] == "run_finished"
    report = json.loads(micl(site, isolated, "report", "@last", "--json"))
    assert [(row["strategy"], row["tasks"]) for row in report["runs"]] == [("agem", ["mini/img_cap", "mini/aud_qa"])]
    matrix = report["runs"][0]["matrix"]
    assert matrix[0][1] is None
    assert all(value is not None for value in (matrix[0][0], *matrix[1]))


def test_without_it_its_name_is_unknown(isolated: Path) -> None:
    words = [sys.executable, "-m", "micl_cli", "plugins", "show", "strategies", "agem"]
    ran = subprocess.run(words, env={**os.environ, "MICL_HOME": str(isolated)}, capture_output=True, text=True)
    assert ran.returncode == 3
    assert "agem" in ran.stderr


def test_its_own_tests_pass_against_the_installed_package(site: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    said = run("pytest", "-q", "-p", "no:cacheprovider", "tests", at=tmp_path, PYTHONPATH=str(site))
    assert "passed" in said
