from __future__ import annotations

import json
from typing import Any

import pytest

PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_backbones(register):
    register("garden", "garden:Garden", "grows")
"""
GARDEN = """
from micl_cli.api import Backbone, PresetInfo

class Garden(Backbone):
    @classmethod
    def presets(cls, resources):
        how = {"licence": "MIT", "source": "a package", "ready": False, "fetchable": True, "summary": ""}
        size = {"parameters": 5_000_000, "bytes": 10_000_000}
        return [PresetInfo(name="oak", modalities=frozenset({"image"}), **size, **how)]

    @classmethod
    def fetch(cls, preset, tell, resources):
        assert resources.weights.name == "weights"
        tell("leaves", 5, 10)
        tell("leaves", 10, 10)
"""


@pytest.fixture
def garden(install: Any) -> None:
    install("micl-garden", entry_points="[micl]\ngarden = garden_plugin\n",
            files={"garden_plugin.py": PLUGIN, "garden.py": GARDEN})  # fmt: skip


def test_what_is_known_by_name_is_listed(micl: Any, garden: None) -> None:
    shown = micl("backbones").out.splitlines()
    assert shown[0].split() == ["backbone", "state", "parameters", "size", "modalities", "licence", "source"]
    lines = {line.split()[0]: line for line in shown[1:]}
    assert {"composed:tiny", "composed:smol", "composed:micl", "garden:oak"} <= lines.keys()
    assert lines["composed:tiny"].split()[1] == "ready"
    assert "to fetch" in lines["composed:smol"]
    assert lines["garden:oak"].split() == [
        "garden:oak",
        "to",
        "fetch",
        "5",
        "M",
        "10",
        "MB",
        "image",
        "MIT",
        "a",
        "package",
    ]
    found = {info["backbone"]: info for info in json.loads(micl("backbones", "--json").out)}
    assert found["composed:smol"]["modalities"] == ["audio", "image", "video"]
    assert found["composed:smol"]["ready"] is False
    assert found["hf:Qwen/Qwen2.5-VL-7B-Instruct"]["modalities"] == ["image", "video"]
    assert found["composed:micl"]["fetchable"] is True


@pytest.mark.parametrize("name", ["oak", "garden:oak"])
def test_fetching_tells_what_comes(name: str, micl: Any, garden: None) -> None:
    done = micl("backbones", "fetch", name)
    assert (done.code, done.out) == (0, "")
    assert done.err == "downloading leaves (0 MB)\noak is downloaded and works without a network\n"


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("smoll", 2, "Did you mean 'smol'?"),
        ("tiny", 2, "tiny is already downloaded"),
        ("garden", 2, "Models that can be downloaded: composed:micl, composed:smol, "),
        ("composed:tiny", 4, "there is nothing to fetch for tiny"),
        ("composed:none.toml", 4, "no preset 'none.toml'"),
        ("compozed:tiny", 3, "Did you mean 'composed'?"),
        ("hf:", 4, "needs a checkpoint"),
        ("hf:Qwen/Qwen2.5-VL-7B-Instruct", 4, "offline mode is set"),
        ("micl", 4, "meta-llama/Llama-3.2-1B-Instruct has not been fetched, and offline mode is set"),
    ],
)
def test_what_cannot_be_fetched(micl: Any, name: str, code: int, told: str) -> None:
    done = micl("backbones", "fetch", name)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_a_model_that_is_not_here_says_how_to_get_it(micl: Any, little_mini: Any) -> None:
    done = micl("learn", "--backbone", "smol", "--strategy", "finetune", "--tasks", "img_cap", "--dry-run")
    assert (done.code, done.out) == (4, "")
    assert "hint: Fetch them: micl backbones fetch smol" in done.err


@pytest.mark.parametrize(("name", "fetched"), [("hf:test/none", "hf:test/none"), ("composed:micl", "micl")])
def test_a_hubs_model_that_is_not_here_says_how_to_get_it(name: str, fetched: str, micl: Any, little_mini: Any) -> None:
    done = micl("learn", "--backbone", name, "--strategy", "finetune", "--tasks", "img_cap", "--dry-run")
    assert (done.code, done.out) == (4, "")
    assert f": micl backbones fetch {fetched}\n" in done.err
