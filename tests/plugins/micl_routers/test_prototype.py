"""The nearest class mean, in units of the spread within tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from micl_cli.api import Example
from micl_cli.testing import ToyBackbone, learn_task, toy_task
from micl_routers.prototype import FLOOR, PrototypeRouter

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")
TASKS = (IMG_CAP, IMG_QA, AUD_QA)
USED = {IMG_CAP.name: 12, IMG_QA.name: 5, AUD_QA.name: 9}
Array = NDArray[np.float64]


def vectors(examples: Sequence[Example]) -> Array:
    found: Array = ToyBackbone().features(examples).double().numpy()
    return found


def groups() -> list[Array]:
    return [vectors(task.examples("train")[: USED[task.name]]) for task in TASKS]


def asked() -> list[Example]:
    return [example for task in TASKS for example in task.examples("test")]


def taught(count: int = 3) -> PrototypeRouter:
    router = PrototypeRouter(ToyBackbone())
    for task in TASKS[:count]:
        learn_task(router, task, task.examples("train")[: USED[task.name]])
    return router


def pooled() -> Array:
    """The variance within tasks, over all examples."""
    rows = np.vstack([x - x.mean(0) for x in groups()])
    variance: Array = (rows**2).mean(0)
    return variance


def test_it_keeps_means_and_the_pooled_variance() -> None:
    state = taught().state()
    for place, x in enumerate(groups()):
        np.testing.assert_allclose(state.tensors[f"mean/{place}"].numpy(), x.mean(0), atol=1e-12)
    np.testing.assert_allclose(state.tensors["within"].numpy() / state.data["count"], pooled(), atol=1e-12)
    assert state.data["count"] == 26
    assert state.data["names"] == [task.name for task in TASKS]
    assert len(state.tensors) == 4, "no example is kept"


def test_routes_go_to_the_nearest_mean() -> None:
    variance = pooled()
    scale = variance + max(variance.mean() * 1e-3, FLOOR)
    means = np.stack([x.mean(0) for x in groups()])
    densities = -((vectors(asked())[:, None] - means) ** 2 / scale).sum(-1) / 2
    near = np.exp(densities - densities.max(1, keepdims=True))
    chances = np.sort(near / near.sum(1, keepdims=True), 1)
    routes = taught().route(asked())
    assert [route.task for route in routes] == [TASKS[i].name for i in near.argmax(1)]
    np.testing.assert_allclose([route.margin for route in routes], chances[:, -1] - chances[:, -2], atol=1e-7)


def test_a_wide_feature_does_not_dominate_a_telling_one() -> None:
    """The first feature is noise a hundred times as wide as the second, which alone tells the tasks apart."""

    class Two(ToyBackbone):
        def features(self, examples: Sequence[Example]) -> Tensor:
            noise = np.random.default_rng(len(examples)).normal(0, 100, len(examples))
            telling = [float(example.modalities == {"audio"}) + noise[i] / 1000 for i, example in enumerate(examples)]
            return torch.tensor(np.stack([noise, telling], 1))

    router = PrototypeRouter(Two())
    for task in (IMG_QA, AUD_QA):
        learn_task(router, task)
    examples = [*IMG_QA.examples("test"), *AUD_QA.examples("test")]
    assert [route.task for route in router.route(examples)] == [example.task for example in examples]


@pytest.mark.parametrize("count", [1, 2])
def test_a_restored_one_goes_on_alike(count: int) -> None:
    first, second = taught(count), PrototypeRouter(ToyBackbone())
    second.restore(first.state())
    for router in (first, second):
        learn_task(router, AUD_QA)
    assert first.route(asked()) == second.route(asked())


def test_a_margin_does_not_hang_on_how_many_other_tasks_there_are() -> None:
    """A task far away changes neither the choice between two near ones nor how sure it is."""
    few, more = PrototypeRouter(ToyBackbone()), PrototypeRouter(ToyBackbone())
    for router in (few, more):
        for task in (IMG_QA, IMG_CAP):
            learn_task(router, task)
    state = more.state()
    state.tensors["mean/2"] = state.tensors["mean/0"] + 1e6
    state.data["names"].append("toy/far")
    more.restore(state)
    assert more.route(asked()) == few.route(asked())


def test_one_task_takes_all_surely() -> None:
    assert {(route.task, route.margin) for route in taught(1).route(asked())} == {(IMG_CAP.name, 1.0)}


def test_features_without_spread_are_no_hindrance() -> None:
    router = PrototypeRouter(ToyBackbone())
    for task in TASKS:
        learn_task(router, task, task.examples("train")[:1])
    routes = router.route([task.examples("train")[0] for task in TASKS])
    assert [route.task for route in routes] == [task.name for task in TASKS]
    assert all(0 <= route.margin <= 1 for route in routes)
