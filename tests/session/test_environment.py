"""The environment that is recorded with a run, also if it changes on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from micl_cli.api import Task
from micl_cli.errors import Interrupted
from micl_cli.plan import Plan
from micl_cli.registry import Registry
from micl_cli.session import Session, learn
from micl_cli.session.environment import changes, used_parts
from micl_cli.training.loop import Control


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Restore the number of threads that a test sets."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_code_machine_and_versions_are_recorded(finished: str, micl: Any) -> None:
    shown = json.loads(micl("runs", "show", finished, "--json").out)
    known = shown["environment"]
    assert {"micl", "code", "python", "torch", "transformers", "peft", "numpy", "device", "precision"} <= known.keys()
    assert (known["plugin.micl-toy"], known["threads"]) == ("1.0", 1)
    assert known["cores"] >= 1
    assert "bitsandbytes" not in known, "the backbone is not quantised"
    (first,) = shown["environments"]
    assert (first["purpose"], first["position"], first["step"], first["environment"]) == ("learning", 1, 0, known)
    assert shown["recipe"] is None


ROUTERS = """
from torch import nn
from micl_cli.api import hookimpl

class Mine(nn.Module): ...

@hookimpl
def micl_register_routers(register):
    register("mine", "mine_routers:Mine", "a router")
"""


@pytest.mark.parametrize(("options", "used"), [({"router": "mine"}, True), ({"router": "ridge"}, False)])
def test_a_plugin_counts_as_used_if_an_option_names_it(options: dict[str, str], used: bool, install: Any) -> None:
    from torch import nn

    install("micl-mine", entry_points="[micl]\nmine = mine_routers\n", files={"mine_routers.py": ROUTERS})
    plan = Plan(strategy="router", backbone="composed:tiny", tasks=("own/a",), strategy_options=options)
    backbone = SimpleNamespace(module=nn.Linear(1, 1))
    components: Any = SimpleNamespace(plan=plan, tasks=[], metrics={"accuracy": None}, backbone=backbone)
    registry = Registry.discover()
    found = used_parts(components, registry)
    assert {"router", "composed", "accuracy"} <= {part.name for part in found}
    assert ("micl-mine" in {part.distribution for part in found}) is used
    backbone.module = nn.Sequential(import_module("mine_routers").Mine())
    assert "micl-mine" in {part.distribution for part in used_parts(components, registry)}


def test_a_resume_with_other_threads_is_recorded_from_its_step_on(
    session: Session, plan: Plan, tasks: list[Task], one_thread: None
) -> None:
    with pytest.raises(Interrupted):
        list(learn(session, plan, tasks, Control(stop=lambda: True)))
    list(learn(session, plan, tasks, Control(), threads=2))
    details = session.details(plan.id)
    known = [(each.position, each.step, each.environment["threads"]) for each in details.environments]
    assert known == [(1, 0, 1), (1, 1, 2)]
    assert session.report(plan.id).environment["threads"] == "1, then 2"
    keys = [(each.position, each.step, each.final) for each in details.validations]
    assert keys and len(keys) == len(set(keys))


def test_a_resume_in_the_same_environment_is_not_recorded_again(
    session: Session, plan: Plan, tasks: list[Task]
) -> None:
    with pytest.raises(Interrupted):
        list(learn(session, plan, tasks, Control(stop=lambda: True)))
    list(learn(session, plan, tasks, Control()))
    assert [each.step for each in session.details(plan.id).environments] == [0]


def test_a_continued_run_has_the_environments_of_its_first_stages(
    finished: str, micl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micl_cli.session.environment.code_digest", lambda parts, registry: "0123456789ab")
    child = micl("learn", "--after", finished, "--tasks", "own/img_qa").out.strip()
    first, second = json.loads(micl("runs", "show", child, "--json").out)["environments"]
    assert first == json.loads(micl("runs", "show", finished, "--json").out)["environments"][0]
    assert (second["position"], second["step"], second["environment"]["code"]) == (3, 0, "0123456789ab")


def test_scores_made_again_by_other_code_are_recorded(
    finished: str, micl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micl_cli.session.environment.code_digest", lambda parts, registry: "0123456789ab")
    assert micl("eval", finished, "--stage", "2", "--examples", "2").code == 0
    assert len(json.loads(micl("runs", "show", finished, "--json").out)["environments"]) == 1, "nothing was stored"
    for _ in range(2):
        assert micl("eval", finished, "--stage", "2").code == 0
    _, second = json.loads(micl("runs", "show", finished, "--json").out)["environments"]
    assert (second["purpose"], second["position"]) == ("scoring", 2)
    text = micl("report", finished).out
    assert "scored again from stage 2 on" in text
    assert "code 0123456789ab (before: " in " ".join(text.split())
    assert micl("report", finished, "--strict").code == 4


def test_what_changes_no_result_by_itself_is_no_notice() -> None:
    before = {"commit": "1" * 12, "cores": 2, "threads": 1, "code": "a" * 12}
    assert changes(before, {**before, "commit": "2" * 12, "cores": 8}) == []
    (line,) = changes(before, {**before, "code": "b" * 12, "numpy": "2"})
    assert line.startswith("code was aaaaaaaaaaaa when this run started and is bbbbbbbbbbbb now")
