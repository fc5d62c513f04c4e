"""Single-task learning is a run whose tasks neither help nor harm each other."""

from __future__ import annotations

import json
from typing import Any

from micl_cli.api import BASE, Example
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.single_task import SingleTask

IMG_CAP, IMG_QA = toy_task("image", "captioning"), toy_task("image", "qa")


def test_a_score_stays_what_it_was_when_the_task_was_learnt(learn: Any, micl: Any) -> None:
    code, out, err = learn("--json", "--strategy", "single")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert not [event for event in events if event["event"] == "routed"], "no router has chosen anything"
    (report,) = json.loads(micl("report", events[0]["run"], "--json").out)["runs"]
    (first, _), last = report["matrix"]
    assert None not in last
    assert last[0] == first
    assert "routing" not in report


def test_each_example_is_answered_by_the_adapter_of_its_task() -> None:
    made = Course(SingleTask(ToyBackbone()), [IMG_CAP, IMG_QA])
    assert made.strategy.route(IMG_CAP.examples("test")) is None
    made.learn(1)
    made.learn(2)
    asked = [IMG_QA.examples("test")[0], IMG_CAP.examples("test")[0], Example("x", ("say a word",), task="other/task")]
    routes = made.strategy.route(asked)
    assert routes is not None
    assert [(route.task, route.selection) for route in routes] == [
        (IMG_QA.name, "expert2"),
        (IMG_CAP.name, "expert1"),
        (BASE, None),
    ]


def test_a_task_is_learnt_as_if_it_were_the_first() -> None:
    made, alone = (Course(SingleTask(ToyBackbone()), [IMG_CAP, IMG_QA]) for _ in range(2))
    made.learn(1)
    made.learn(2)
    alone.learn(2)  # never saw the first task
    ours, theirs = (each.strategy.backbone.adapters.state("expert2") for each in (made, alone))
    assert all((ours[name] == theirs[name]).all() for name in ours)
