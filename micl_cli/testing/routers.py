"""What every router keeps: it names a task it knows, and a restored one does as it did."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from safetensors.torch import load, save

from micl_cli.api.backbone import Backbone
from micl_cli.api.router import Router
from micl_cli.api.strategy import State
from micl_cli.api.task import Example, Task
from micl_cli.testing.tasks import toy_tasks
from micl_cli.testing.toy import ToyBackbone


class RouterContract:
    """Subclass it, name the router, and pytest runs these tests on it.

    ``backbone`` and ``tasks`` may be overridden. ``accuracy`` is the share of test examples
    of tasks in unlike modalities that must be routed home.
    """

    router: ClassVar[type[Router]]
    options: ClassVar[Mapping[str, Any]] = {}
    accuracy: ClassVar[float] = 0.6

    def backbone(self) -> Backbone:
        """A fresh backbone with an active adapter."""
        made = ToyBackbone()
        made.add_adapter("main")
        made.activate("main")
        return made

    def tasks(self) -> Sequence[Task]:
        """The tasks to tell apart."""
        return toy_tasks()

    def make(self) -> Router:
        """The router under test, which knows nothing yet."""
        return self.router(self.backbone(), **self.options)

    def learnt(self) -> Router:
        """One that knows every task."""
        router = self.make()
        for task in self.tasks():
            router.learn(task, task.examples("train"))
        return router

    def _asked(self) -> list[Example]:
        return [example for task in self.tasks() for example in task.examples("test")]

    def test_a_single_task_takes_all(self) -> None:
        router, task = self.make(), self.tasks()[0]
        router.learn(task, task.examples("train"))
        assert {route.task for route in router.route(self._asked())} == {task.name}

    def test_names_a_task_and_a_margin_for_each(self) -> None:
        routes = self.learnt().route(self._asked())
        assert len(routes) == len(self._asked())
        assert {route.task for route in routes} <= {task.name for task in self.tasks()}
        assert all(route.margin >= 0 for route in routes)

    def test_sends_most_examples_home(self) -> None:
        routes = self.learnt().route(self._asked())
        right = sum(route.task == example.task for route, example in zip(routes, self._asked(), strict=True))
        assert right / len(routes) >= self.accuracy

    def test_company_changes_nothing(self) -> None:
        router = self.learnt()
        alone = [router.route([example])[0].task for example in self._asked()]
        assert alone == [route.task for route in router.route(self._asked())]

    def test_a_restored_one_goes_on_alike(self) -> None:
        first, second = self.make(), self.make()
        for task in self.tasks():
            first.learn(task, task.examples("train"))
            second = self._restored(first)
            assert second.route(self._asked()) == first.route(self._asked())
        for router in (first, second):
            router.rng = random.Random(1)
            router.learn(self.tasks()[0], self.tasks()[0].examples("val"))
        assert second.route(self._asked()) == first.route(self._asked())

    def _restored(self, router: Router) -> Router:
        """Another one, from the router's state and the backbone's adapters, as a checkpoint keeps them."""
        state, made = router.state(), self.make()
        for name in router.backbone.adapters:
            if name not in made.backbone.adapters:
                made.backbone.add_adapter(name)
            made.backbone.load_adapter(name, router.backbone.adapter_state(name))
        tensors = save({name: tensor.contiguous() for name, tensor in state.tensors.items()})
        made.restore(State(load(tensors), json.loads(json.dumps(state.data, allow_nan=False))))
        return made
