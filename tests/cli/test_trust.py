"""Code of a checkpoint runs only if the user's own flag, variable or configuration file allows it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
from typing import Annotated

from micl_cli.api import hookimpl
from micl_cli.testing import ToyBackbone


class Coded(ToyBackbone):
    def __init__(
        self, preset="", *, resources=None, trust_remote_code: Annotated[bool, "run the checkpoint's code"] = False
    ):
        print("trusted" if trust_remote_code else "not trusted", flush=True)
        super().__init__(preset, resources=resources)


@hookimpl
def micl_register_backbones(register):
    register("coded", "coded_plugin:Coded", "a toy that may run code")
"""
QUIET = ("--backbone", "coded", "--quiet")


@pytest.fixture
def coded(install: Any, home: Path, learn: Any) -> Any:
    """Run ``micl learn`` with a backbone that prints whether it may run code."""
    install("micl-coded", entry_points="[micl]\ncoded = coded_plugin\n", files={"coded_plugin.py": PLUGIN})
    return lambda *words: learn(*QUIET, *words)


@pytest.mark.parametrize(
    "text",
    [
        "[learn]\ntrust_remote_code = true\n",
        "[learn]\ntrust-remote-code = true\n",
        '[learn]\nbackbone_options = [["trust_remote_code", "true"]]\n',
        '[learn.backbone-option]\n"trust_remote_code" = "true"\n',
        "[sweep]\ntrust_remote_code = true\n",
        "[eval]\ntrust_remote_code = true\n",
        '[learn]\nbackbone = "coded"\n[learn.options]\ntrust_remote_code = true\n',
    ],
)
def test_the_file_of_a_folder_cannot_allow_it(text: str, coded: Any, micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text(text)
    for done in (coded(), micl("sweep"), micl("eval", "@last"), micl("config")):
        assert (done.code, done.out) == (2, "")
        assert f"{tmp_path / 'micl.toml'}: trust_remote_code cannot be set by the configuration of a folder" in done.err
        assert "--trust-remote-code" in done.err


def test_a_recipe_cannot_allow_it(coded: Any, tmp_path: Path) -> None:
    for text, tables in (("trust_remote_code = true\n", ""), ("", "[options]\ntrust_remote_code = true\n")):
        recipe = f'strategy = "finetune"\ntasks = "own/img_cap,own/aud_qa"\n{text}{tables}'
        (tmp_path / "mine.toml").write_text(recipe)
        done = coded("--recipe", "mine.toml")
        assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("words", [("--trust-remote-code",), ("-b", "trust_remote_code", "true")])
def test_a_flag_allows_it(words: tuple[str, ...], coded: Any) -> None:
    assert coded("--dry-run").out.startswith("not trusted")
    assert coded("--dry-run", *words).out.startswith("trusted")


@pytest.mark.parametrize(
    "text", ["[learn]\ntrust_remote_code = true\n", '[learn.backbone_options]\ntrust_remote_code = "true"\n']
)
def test_the_user_s_own_file_allows_it_and_config_tells_so(text: str, coded: Any, micl: Any, isolated: Path) -> None:
    (isolated / "config.toml").write_text(text)
    assert coded("--dry-run").out.startswith("trusted")
    shown = {entry["name"]: entry for entry in json.loads(micl("config", "list", "learn", "--json").out)}
    sources = [shown[f"learn.{name}"]["source"] for name in ("trust_remote_code", "backbone_options")]
    assert str(isolated / "config.toml") in sources


def test_the_user_s_own_file_leaves_other_backbones_alone(learn: Any, isolated: Path) -> None:
    (isolated / "config.toml").write_text("[learn]\ntrust_remote_code = true\n")
    assert learn("--dry-run").code == 0


def test_a_variable_allows_it(coded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICL_LEARN_TRUST_REMOTE_CODE", "1")
    assert coded("--dry-run").out.startswith("trusted")


def test_a_plan_in_a_store_is_no_permission(coded: Any, micl: Any, learn: Any) -> None:
    run = coded("--trust-remote-code").out.splitlines()[-1]
    after = (*QUIET, "--after", run, "--tasks", "own/img_qa")
    for done in (micl("eval", run), learn(*after)):
        assert (done.code, done.out) == (2, "")
        assert "runs Python code that its checkpoint contains" in done.err
    for done in (micl("eval", run, "--trust-remote-code"), learn(*after, "--trust-remote-code")):
        assert (done.code, done.out.splitlines()[0]) == (0, "trusted"), done.err
    assert learn("--resume", run, "--trust-remote-code", "--quiet").code == 0


def test_every_loading_of_a_checkpoint_says_whether_it_may() -> None:
    """Without an explicit value, transformers asks on stdin."""
    plugins = Path(__file__).parents[2] / "plugins"
    for path in sorted(plugins.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        for call in calls:
            if isinstance(call.func, ast.Attribute) and call.func.attr == "from_pretrained":
                named = {keyword.arg for keyword in call.keywords}
                assert named & {"trust_remote_code", None}, f"{path}:{call.lineno}"
