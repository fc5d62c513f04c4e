from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.registry import KINDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BROKEN = "[micl]\nbad = bad_plugin\n"


@pytest.fixture
def bad(install: Any) -> None:
    install("micl-bad", entry_points=BROKEN, files={"bad_plugin.py": "raise RuntimeError('no \\x1b[31mluck')"})


def test_list_shows_kind_name_distribution_version_and_state(micl: Any) -> None:
    code, out, err = micl("plugins")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["kind", "name", "distribution", "version", "state", "summary"]
    assert any(line.split()[:5] == ["strategies", "moincl", "micl-cli", "0.1.0", "ok"] for line in lines)
    assert micl("plugins", "list").out == out


@pytest.mark.parametrize("kind", ["strategy", "strategies"])
def test_list_takes_one_kind(micl: Any, kind: str) -> None:
    parts = json.loads(micl("plugins", "--kind", kind, "--json").out)
    assert {part["kind"] for part in parts} == {"strategies"}
    assert {"kind", "name", "distribution", "version", "state", "summary", "error"} <= parts[0].keys()
    assert micl("plugins", "--kind", "strat").code == 2


def test_a_broken_plugin_is_listed_with_its_error(micl: Any, bad: None) -> None:
    code, out, _ = micl("plugins")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("plugin ")]
    assert line.split()[1:5] == ["bad", "micl-bad", "1.0", "broken"]
    assert line.endswith("RuntimeError: no \\x1b[31mluck")
    assert "moincl" in out


def test_asking_for_what_a_broken_plugin_may_hold_costs_two_lines(micl: Any, bad: None) -> None:
    code, out, err = micl("plugins", "show", "strategy", "nothing-like-it")
    assert (code, out, len(err.splitlines())) == (3, "", 2)
    assert "Plugin 'bad' of micl-bad is broken: RuntimeError" in err


def test_commands_of_distributions_are_listed(micl: Any, install: Any) -> None:
    install("micl-more", entry_points="[micl.commands]\nmore = nowhere:more\n")
    assert "command" in micl("plugins").out
    assert json.loads(micl("plugins", "--json").out)[-1]["name"] == "more"


def test_show_tells_summary_text_and_options(micl: Any) -> None:
    code, out, _ = micl("plugins", "show", "strategy", "moincl")
    assert code == 0
    assert out.startswith("strategy moincl: ")
    assert "from micl-cli 0.1.0 (micl_strategies.moincl:MoInCL)" in out
    (line,) = [line for line in out.splitlines() if line.startswith("alpha ")]
    assert line.split()[:3] == ["alpha", "float", "0.5"]
    assert micl("plugins", "show", "strategies", "micl-cli:moincl").out == out


def test_show_as_json_lists_the_options(micl: Any) -> None:
    data = json.loads(micl("plugins", "show", "strategy", "moincl", "--json").out)
    options = {option["name"]: option for option in data["options"]}
    assert (data["kind"], data["name"]) == ("strategies", "moincl")
    assert options["alpha"]["default"] == 0.5
    assert options["pseudo_when"]["choices"] == ["modality", "type"]


@pytest.mark.parametrize("kind", ["strategies", "routers"])
def test_every_method_states_its_deviations_from_its_paper(micl: Any, kind: str) -> None:
    for part in json.loads(micl("plugins", "--kind", kind, "--json").out):
        stated = json.loads(micl("plugins", "show", kind, part["name"], "--json").out)["deviations"]
        assert stated.startswith("Deviations"), part["name"]
        assert "\n" not in stated
        shown = micl("plugins", "show", kind, part["name"]).out
        assert stated in " ".join(shown.split())


def test_show_tells_the_range_of_an_option(micl: Any, install: Any) -> None:
    plugin = announcing("micl_register_listeners", "register('bell', 'bell_part:Bell', 'rings')")
    bell = (
        "from typing import Annotated\nfrom micl_cli.api import Listener, Range\n\n"
        "class Bell(Listener):\n    def __init__(self, *, volume: Annotated[int, 'how loud', Range(0, 11)] = 5): ...\n"
    )
    install("micl-bell", entry_points="[micl]\nbell = bell_plugin\n",
            files={"bell_plugin.py": plugin, "bell_part.py": bell})  # fmt: skip
    shown = micl("plugins", "show", "listener", "bell").out
    assert "Options ([listen.NAME] in micl.toml):\n" in shown
    assert "volume  int   5        how loud (at least 0 and at most 11)" in shown


def announcing(hook: str, line: str) -> str:
    return f"from micl_cli.api import hookimpl\n\n@hookimpl\ndef {hook}(register):\n    {line}\n"


def test_every_installed_part_can_be_shown(micl: Any) -> None:
    for part in json.loads(micl("plugins", "--json").out):
        if part["kind"] in KINDS and part["distribution"] == "micl-cli":
            shown = micl("plugins", "show", part["kind"], part["name"])
            assert (shown.code, shown.err) == (0, "")
            assert part["summary"] in shown.out


def test_new_strategy_is_whole_and_keeps_its_contract(micl: Any, tmp_path: Path) -> None:
    code, out, err = micl("plugins", "new", "strategy", "my-Method", "--dir", tmp_path / "src")
    folder = tmp_path / "src" / "micl-my-method"
    assert (code, out) == (0, f"{folder}\n")
    assert f"pip install -e {folder}" in err
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "README.md",
        "micl_my_method/__init__.py",
        "micl_my_method/plugin.py",
        "micl_my_method/strategy.py",
        "pyproject.toml",
        "tests/test_contract.py",
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["micl"] == {"micl-my-method": "micl_my_method.plugin"}
    assert_sound(folder)


@pytest.mark.parametrize("kind", ["metric", "router"])
def test_other_new_parts_are_whole_and_keep_their_contracts(micl: Any, tmp_path: Path, kind: str) -> None:
    assert micl("plugins", "new", kind, "holds").code == 0
    assert_sound(tmp_path / "micl-holds")


def assert_sound(folder: Path) -> None:
    """Its tests pass, and ruff finds nothing to change."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(tests, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "--select", "E,F,I,UP,B"], ["format", "--check"]):
        command = [*ruff, *words, "--no-cache", "--line-length", "120", "."]
        checked = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        assert checked.returncode == 0, checked.stdout


def test_what_new_writes_is_found_once_it_is_installed(micl: Any, install: Any, tmp_path: Path) -> None:
    micl("plugins", "new", "strategy", "none")
    folder = tmp_path / "micl-none"
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["micl"]
    text = "[micl]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
    install("micl-none", entry_points=text, to="micl-none")
    shown = micl("plugins", "show", "strategy", "none")
    assert (shown.code, shown.err) == (0, "")
    assert "micl_none.strategy:NoneStrategy" in shown.out
    assert "strength  float  0.1" in shown.out


@pytest.mark.parametrize("name", ["1st", "my_method", "a--b", "-a", "a/b", "..", "", "ä", "a b"])
def test_new_refuses_what_is_no_name(micl: Any, tmp_path: Path, name: str) -> None:
    code, out, err = micl("plugins", "new", "strategy", "--", name)
    assert (code, out) == (2, "")
    assert "is not a valid name" in err
    assert list(tmp_path.glob("micl*")) == []


@pytest.mark.parametrize(
    ("name", "why"), [("moincl", "already installed"), ("tasks", "'micl_tasks' is already installed")]
)
def test_new_refuses_a_name_that_is_taken(micl: Any, name: str, why: str) -> None:
    code, _, err = micl("plugins", "new", "strategy", name)
    assert code == 2
    assert why in err


def test_new_never_writes_into_what_exists(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl-mine").mkdir()
    code, _, err = micl("plugins", "new", "strategy", "mine")
    assert (code, err.splitlines()[0]) == (2, "error: micl-mine already exists")
    assert list((tmp_path / "micl-mine").iterdir()) == []
    (tmp_path / "file").write_text("")
    assert micl("plugins", "new", "strategy", "mine", "--dir", "file").code == 2


def test_new_tells_that_it_cannot_write(micl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = micl("plugins", "new", "strategy", "mine")
    assert code == 1
    assert err.splitlines() == [
        "error: micl-mine cannot be written: No space left on device",
        "hint: Choose another --dir.",
    ]
