"""``micl export``: what it refuses before a model is loaded, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_a_backbone_without_exports_says_so_and_nothing_is_written(finished: str, micl: Any, tmp_path: Path) -> None:
    done = micl("export", finished, "out")
    assert (done.code, done.out) == (4, "")
    assert "a model of the backbone ToyBackbone cannot be exported" in done.err
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("@last", "full"), 2, "is not empty, and is not an export"),
        (("@last", "full", "--force"), 2, "is not empty, and is not an export"),
        (("@last", "."), 2, "is the current folder"),
        (("@last", "out", "--stage", "3"), 2, "stage 3 is not learnt"),
        (("@last", "out", "--stage", "0"), 2, "0 is not in the range"),
        (("nothing", "out"), 2, "no run 'nothing'"),
    ],
)
def test_what_cannot_be_written_is_refused(
    words: tuple[str, ...], code: int, message: str, finished: str, micl: Any, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    done = micl("export", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("selection", "name"),
    [("main", "main"), (["main"], "main"), ({"main": 1.0}, "main"), ({"main": 0.5}, ""), (["a", "b"], ""), (None, "")],
)
def test_one_adapter_answers_however_it_is_selected(selection: Any, name: str) -> None:
    from micl_cli.session.export import only_adapter

    assert only_adapter(selection) == name


def test_a_stage_whose_checkpoint_is_gone_is_told(finished: str, micl: Any, isolated: Path) -> None:
    import shutil

    shutil.rmtree(isolated / "runs" / finished / "stages" / "02")
    done = micl("export", finished, "out")
    assert done.code == 1
    assert "the checkpoint of stage 2 is gone" in done.err


STRATEGIES = """
from micl_cli.api import ADAPTER, Register, Route, Strategy, hookimpl

class Summed(Strategy):
    def begin(self, stage):
        super().begin(stage)
        if "second" not in self.backbone.adapters.names:
            self.backbone.adapters.add("second", seed=1)
        self.backbone.adapters.activate([ADAPTER, "second"])

class Weighed(Strategy):
    def route(self, examples):
        return [Route("own/img_cap", 1.0, {ADAPTER: 0.5}) for _ in examples]

@hookimpl
def micl_register_strategies(register: Register) -> None:
    register("summed", "mixing_plugin:Summed", "two adapters together")
    register("weighed", "mixing_plugin:Weighed", "an adapter with a weight for each example")
"""


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [("summed", "answers by none, or by a sum, of its adapters"), ("weighed", "selects or weighs adapters for each example")],
)
def test_mixtures_of_adapters_are_refused(
    strategy: str, reason: str, install: Any, learn: Any, micl: Any, tmp_path: Path
) -> None:
    install("micl-mixing", entry_points="[micl]\nmixing = mixing_plugin\n", files={"mixing_plugin.py": STRATEGIES})
    learnt = learn("--strategy", strategy, "--quiet")
    assert learnt.code == 0, learnt.err
    run = learnt.out.strip()
    done = micl("export", run, "out")
    assert (done.code, done.out) == (4, "")
    assert f"strategy '{strategy}' cannot be exported: it {reason}" in done.err
    assert not list(tmp_path.glob("*out*"))
