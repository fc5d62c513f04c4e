"""Ridge routing is a closed form: task by task it comes to what it would be at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from micl_cli.api import Example, Task
from micl_cli.testing import ToyBackbone, learn_task, toy_task
from micl_routers.ridge import RidgeRouter

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")
TASKS = (IMG_CAP, IMG_QA, AUD_QA)
USED = {IMG_CAP.name: 12, IMG_QA.name: 5, AUD_QA.name: 9}  # tasks of unlike sizes
Array = NDArray[np.float64]


def used(task: Task) -> Sequence[Example]:
    return task.examples("train")[: USED[task.name]]


def asked() -> list[Example]:
    return [example for task in TASKS for example in task.examples("test")]


def vectors(examples: Sequence[Example]) -> Array:
    """[n, D + 1]: frozen features, and a one."""
    x = ToyBackbone().features(examples).double().numpy()
    return np.hstack([x, np.ones((len(x), 1))])


def at_once(tasks: Sequence[Task], ridge: float) -> Array:
    """[D + 1, tasks]: weighted ridge regression over all examples together, each task weighing 1."""
    x = np.vstack([vectors(used(task)) for task in tasks])
    y = np.vstack([np.eye(len(tasks))[[i] * len(used(task))] for i, task in enumerate(tasks)])
    root = np.sqrt(np.concatenate([[1 / len(used(task))] * len(used(task)) for task in tasks]))[:, None]
    x, y = root * x, root * y
    penalty = np.sqrt(ridge * (x**2).sum() / x.shape[1])
    # Ridge regression is least squares with a row for each coefficient, drawn to zero.
    rows = np.vstack([x, penalty * np.eye(x.shape[1])])
    solved: Array = np.linalg.lstsq(rows, np.vstack([y, np.zeros((x.shape[1], y.shape[1]))]), rcond=None)[0]
    return solved


def taught(tasks: Sequence[Task], ridge: float = 1e-3) -> RidgeRouter:
    router = RidgeRouter(ToyBackbone(), ridge=ridge)
    for task in tasks:
        learn_task(router, task, used(task))
    return router


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
@pytest.mark.parametrize("order", permutations(range(3)), ids=str)
def test_task_by_task_equals_at_once(order: Sequence[int], ridge: float) -> None:
    tasks = [TASKS[i] for i in order]
    for count in (1, 2, 3):
        found = taught(tasks[:count], ridge).weights.numpy()
        np.testing.assert_allclose(found, at_once(tasks[:count], ridge), rtol=0, atol=1e-8)


def test_the_order_of_tasks_does_not_matter() -> None:
    first = taught(TASKS).weights
    for order in permutations(range(3)):
        again = taught([TASKS[i] for i in order]).weights
        np.testing.assert_allclose(again.numpy(), first[:, list(order)].numpy(), rtol=0, atol=1e-8)


def test_routes_are_those_of_the_solution() -> None:
    routes = taught(TASKS).route(asked())
    scores = vectors(asked()) @ at_once(TASKS, 1e-3)
    assert [route.task for route in routes] == [TASKS[i].name for i in scores.argmax(1)]
    ordered = np.sort(scores, 1)
    margins = np.clip(ordered[:, -1] - ordered[:, -2], 0, 1)
    np.testing.assert_allclose([route.margin for route in routes], margins, atol=1e-7)


def test_a_task_weighs_the_same_whatever_its_size() -> None:
    twice = replace(IMG_CAP, load=lambda split: [*IMG_CAP.examples(split)] * 2)
    plain, doubled = RidgeRouter(ToyBackbone()), RidgeRouter(ToyBackbone())
    for router, first in ((plain, IMG_CAP), (doubled, twice)):
        for task in (first, AUD_QA):
            learn_task(router, task)
    np.testing.assert_allclose(plain.weights.numpy(), doubled.weights.numpy(), rtol=0, atol=1e-8)


def test_no_example_is_kept() -> None:
    state = taught(TASKS).state()
    size = vectors(used(IMG_CAP)).shape[1]
    assert {name: tuple(tensor.shape) for name, tensor in state.tensors.items()} == {
        "gram": (size, size),
        "cross": (size, 3),
    }
    assert state.data == {"names": [task.name for task in TASKS]}


def test_a_restored_one_has_the_same_solution() -> None:
    first, second = taught(TASKS[:2]), RidgeRouter(ToyBackbone())
    second.restore(first.state())
    for router in (first, second):
        learn_task(router, AUD_QA, used(AUD_QA))
    assert torch.equal(first.weights, second.weights)
    np.testing.assert_allclose(second.weights.numpy(), at_once(TASKS, 1e-3), rtol=0, atol=1e-8)
