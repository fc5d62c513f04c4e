"""The contract of routers: routes are to learnt tasks, and a restored router behaves like the original."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from safetensors.torch import load, save

from micl_cli.api.backbone import Backbone
from micl_cli.api.router import Router, RouterContext, route_readable
from micl_cli.api.strategy import Progress, State
from micl_cli.api.task import Example, Task
from micl_cli.testing.tasks import toy_tasks
from micl_cli.testing.toy import ToyBackbone
from micl_cli.training.snapshot import adapter_specs, adapter_weights, load_adapters


def learn_task(
    router: Router,
    task: Task,
    examples: Sequence[Example] | None = None,
    *,
    experts: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[Progress]:
    """Let a router learn a task from ``examples`` (None: its training examples), and return the progress."""
    context = RouterContext(experts=experts or {}, rng=random.Random(seed))
    return list(router.learn(task, task.examples("train") if examples is None else examples, context))


class RouterContract:
    """Tests of a router, for subclasses that set ``router``.

    ``backbone`` and ``tasks`` may be overridden. ``accuracy`` is the minimum share of test examples
    that must be routed to their own task.
    """

    router: ClassVar[type[Router]]
    options: ClassVar[Mapping[str, Any]] = {}
    accuracy: ClassVar[float] = 0.6

    def backbone(self) -> Backbone:
        """Return a new backbone with an active adapter."""
        backbone = ToyBackbone()
        backbone.adapters.add("main")
        backbone.adapters.activate("main")
        return backbone

    def tasks(self) -> Sequence[Task]:
        """Return the tasks to route between."""
        return toy_tasks()

    def make(self) -> Router:
        """Return the router under test, before it has learnt a task."""
        return self.router(self.backbone(), **self.options)

    def learnt(self) -> Router:
        """Return a router that has learnt all tasks."""
        router = self.make()
        for task in self.tasks():
            learn_task(router, task)
        return router

    def queries(self) -> list[Example]:
        """Return the test examples of every task."""
        return [example for task in self.tasks() for example in task.examples("test")]

    def test_a_single_task_gets_all_examples(self) -> None:
        router, task = self.make(), self.tasks()[0]
        learn_task(router, task)
        assert {route.task for route in router.route(self.queries())} == {task.name}

    def test_each_route_has_a_learnt_task_and_a_margin(self) -> None:
        routes = self.learnt().route(self.queries())
        assert len(routes) == len(self.queries())
        assert {route.task for route in routes} <= {task.name for task in self.tasks()}
        assert all(route.margin >= 0 for route in routes)

    def test_routes_most_examples_to_their_task(self) -> None:
        routes = self.learnt().route(self.queries())
        correct = sum(route.task == example.task for route, example in zip(routes, self.queries(), strict=True))
        assert correct / len(routes) >= self.accuracy

    def test_chooses_among_the_tasks_that_have_an_example_s_modalities(self) -> None:
        router, queries = self.learnt(), self.queries()
        learnt = {task.name: task.modalities for task in self.tasks()}
        names = list(learnt)
        for allowed in (names[:1], names[1:], names):
            routes = router.route_among(queries, [allowed] * len(queries))
            assert len(routes) == len(queries)
            assert all(route.task in allowed and route.margin >= 0 for route in routes)
        readable = route_readable(router, queries, learnt)
        assert all(e.modalities <= learnt[r.task] for e, r in zip(queries, readable, strict=True))

    def test_routes_do_not_depend_on_the_batch(self) -> None:
        router = self.learnt()
        single = [router.route([example])[0].task for example in self.queries()]
        assert single == [route.task for route in router.route(self.queries())]

    def test_progress_does_not_exceed_its_total(self) -> None:
        router = self.make()
        for progress in (step for task in self.tasks() for step in learn_task(router, task)):
            assert 0 <= progress.done <= (progress.done if progress.total is None else progress.total)

    def test_learning_does_not_change_adapters_and_mode(self) -> None:
        router = self.make()
        adapters, module = router.backbone.adapters, router.backbone.module
        before = (adapters.active, adapters.learning, module.train().training)
        for task in self.tasks():
            learn_task(router, task)
        assert (adapters.active, adapters.learning, module.training) == before

    def test_a_restored_router_behaves_identically(self) -> None:
        first, second = self.make(), self.make()
        for task in self.tasks():
            learn_task(first, task)
            second = self._restored(first)
            assert second.route(self.queries()) == first.route(self.queries())
        for router in (first, second):
            learn_task(router, self.tasks()[0], self.tasks()[0].examples("val"), seed=1)
        assert second.route(self.queries()) == first.route(self.queries())

    def _restored(self, router: Router) -> Router:
        """Return a copy, restored from the router's state and the backbone's adapters like from a checkpoint."""
        state, restored = router.state(), self.make()
        adapters = router.backbone.adapters
        load_adapters(restored.backbone.adapters, adapter_weights(adapters, adapters.names), adapter_specs(adapters))
        restored.backbone.adapters.activate(adapters.active, learning=adapters.learning)
        tensors = save({name: tensor.contiguous() for name, tensor in state.tensors.items()})
        restored.restore(State(load(tensors), json.loads(json.dumps(state.data, allow_nan=False))))
        return restored
