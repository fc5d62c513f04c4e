"""The oracle is always right about the tasks that it knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micl_cli.api import Route
from micl_cli.testing import ToyBackbone, learn_task, toy_task
from micl_routers.oracle import OracleRouter

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")
TASKS = (IMG_CAP, IMG_QA, AUD_QA)


def taught(count: int = 3) -> OracleRouter:
    router = OracleRouter(ToyBackbone())
    for task in TASKS[:count]:
        learn_task(router, task)
    return router


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_example_of_a_learnt_task_goes_home(split: str) -> None:
    examples = [example for task in TASKS for example in task.examples(split)]
    assert taught().route(examples) == [Route(example.task, 1.0) for example in examples]


def test_what_it_does_not_know_goes_to_the_latest_task() -> None:
    assert set(taught(2).route(AUD_QA.examples("test"))) == {Route(IMG_QA.name, 0.0)}


def test_the_task_named_in_an_example_is_not_read() -> None:
    misled = [replace(example, task=AUD_QA.name) for example in IMG_CAP.examples("test")]
    assert {route.task for route in taught().route(misled)} == {IMG_CAP.name}


def test_a_restored_one_goes_on_alike() -> None:
    first, second = taught(2), OracleRouter(ToyBackbone())
    second.restore(first.state())
    for router in (first, second):
        learn_task(router, AUD_QA)
    examples = [example for task in TASKS for example in task.examples("test")]
    assert second.route(examples) == first.route(examples) == [Route(example.task, 1.0) for example in examples]
