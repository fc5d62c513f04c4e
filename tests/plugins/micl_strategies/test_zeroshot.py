"""The lower row of a table: nothing is learnt, and still every task is scored."""

from __future__ import annotations

import json
from typing import Any

from micl_cli.api import Stage
from micl_cli.testing import ToyBackbone, toy_task
from micl_strategies.zeroshot import ZeroShot


def test_a_run_has_scores_and_no_step(learn: Any, micl: Any) -> None:
    code, out, err = learn("--json", "--strategy", "zeroshot")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert not [event for event in events if event["event"] == "step"]
    learned = [event for event in events if event["event"] == "task_learned"]
    assert [event["steps"] for event in learned] == [0, 0]
    assert [event["trainable_parameters"] for event in learned] == [0, 0]
    (report,) = json.loads(micl("report", events[0]["run"], "--json").out)["runs"]
    (first, _), last = report["matrix"]
    assert report["status"] == "finished"
    assert None not in last
    assert last[0] == first, "what is not learnt is not forgotten"


def test_nothing_is_drawn_and_nothing_moves() -> None:
    strategy = ZeroShot(ToyBackbone())
    assert list(strategy.examples(Stage(position=1, tasks=[toy_task("image", "qa")]))) == []
    assert list(strategy.trainable()) == []
