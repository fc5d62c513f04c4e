"""The contract of strategies: options, weights, randomness, passes, and a state from which learning goes on."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from micl_cli.api.backbone import Backbone
from micl_cli.api.options import options_of
from micl_cli.api.selection import as_mixtures, combine
from micl_cli.api.strategy import ADAPTER, Route, Strategy
from micl_cli.api.task import Example, Task
from micl_cli.testing.course import Course, Moment
from micl_cli.testing.tasks import toy_tasks
from micl_cli.testing.toy import ToyBackbone
from micl_cli.training.snapshot import adapter_weights, learning_weights, module_weights


class StrategyContract:
    """Subclass it, name the strategy, and pytest runs these tests on it.

    ``options`` are given to its constructor. ``adapter`` is the one that must be active after a
    task; None where that differs from task to task. ``backbone`` and ``tasks`` may be overridden.
    """

    strategy: ClassVar[type[Strategy]]
    options: ClassVar[Mapping[str, Any]] = {}
    adapter: ClassVar[str | None] = ADAPTER

    def backbone(self) -> Backbone:
        """Return a fresh backbone to learn with, always the same."""
        return ToyBackbone()

    def tasks(self) -> Sequence[Task]:
        """Return the tasks to learn: at least two, of which one brings a new modality."""
        return toy_tasks()

    def course(self, seed: int = 0, accumulation: int = 1) -> Course:
        """Return a fresh strategy on a fresh backbone, before its first stage."""
        made = self.strategy(self.backbone(), **self.options)
        return Course(made, self.tasks(), seed=seed, options=self.options, accumulation=accumulation)

    # Options

    def test_options_have_a_help_text(self) -> None:
        for name, option in options_of(self.strategy).items():
            assert option.help.strip(), f"option {name} is not documented"

    def test_every_keyword_is_an_option(self) -> None:
        for name, parameter in inspect.signature(self.strategy.__init__).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert name in options_of(self.strategy), f'annotate {name} with Annotated[type, "help"]'

    def test_defaults_are_valid_values(self) -> None:
        for name, option in options_of(self.strategy).items():
            if not option.required and option.default is not None:
                assert option.parse(option.default) == option.default, f"the default of {name} is refused"

    def test_options_are_attributes_of_the_same_name(self) -> None:
        course = self.course()
        made = course.strategy
        for name, option in options_of(self.strategy).items():
            assert hasattr(made, name), f"option {name} is no attribute"
            value = self.options.get(name, option.default)
            assert getattr(made, name) == value or str(getattr(made, name)) == str(value), f"option {name} was changed"
            made.enter(course.components.stage(1), {name: value})
            assert getattr(made, name) == value, f"option {name} cannot be set anew"

    # Learning

    def test_stages_hold_each_task_once(self) -> None:
        course = self.course()
        assert sorted(t.name for stage in course.stages for t in stage) == sorted(t.name for t in self.tasks())

    def test_learns(self) -> None:
        course = self.course()
        course.begin(1)
        backbone, tasks = course.strategy.backbone, course.stages[0]
        before = _mean_loss(backbone, tasks)
        course.rest()
        course.finish()
        assert _mean_loss(backbone, tasks) < before, "the first task is not learnt better than before"

    def test_learns_every_stage_and_answers(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
            terms = course.last.terms
            json.dumps(terms, allow_nan=False)
            assert not terms or sum(terms.values()) == pytest.approx(course.last.loss, rel=1e-3, abs=1e-5)
            adapters = course.strategy.backbone.adapters
            assert adapters.acting, "no adapter is active after the task"
            if self.adapter is not None:
                assert adapters.active == self.adapter
            _answer(course.strategy, course.stages[position - 1][0].examples("test"))

    def test_only_what_is_trainable_moves(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            adapters = course.strategy.backbone.adapters
            assert adapters.acting, "no adapter is active while the task is learnt"
            before = _weights(course)
            moving = set(dict(course.strategy.trainable()))
            while not course.state.finished:
                course.step()
            now = _weights(course)
            changed = {name for name, weight in now.items() if not torch.equal(weight, before[name])}
            assert changed <= moving, f"not trainable, but they moved: {sorted(changed - moving)[:3]}"
            assert changed, "nothing moved"
            course.rest()
            course.finish()

    def test_names_of_trainable_weights_are_those_of_checkpoints(self) -> None:
        course = self.course()
        course.begin(1)
        assert set(dict(course.strategy.trainable())) <= set(learning_weights(course.strategy)), (
            "weights move that are not part of the best weights: let their adapters learn, or put them into modules"
        )

    def test_the_best_weights_come_back(self) -> None:
        course = self.course()
        course.begin(1)
        course.step()
        course.state.record_validation(float("inf"))
        best = learning_weights(course.strategy)
        course.rest()
        _assert_same(learning_weights(course.strategy), best)

    def test_the_base_never_changes(self) -> None:
        course = self.course()
        # By identity: adapters may give the base's weights other names.
        base = list(course.strategy.backbone.module.named_parameters())
        before = [weight.detach().clone() for _, weight in base]
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
        changed = [n for (n, weight), was in zip(base, before, strict=True) if not torch.equal(weight.detach(), was)]
        assert not changed, f"the base model was changed: {changed[:3]}"
        present = {id(weight) for weight in course.strategy.backbone.module.parameters()}
        assert all(id(weight) in present for _, weight in base), "weights of the base model were replaced"

    def test_progress_does_not_exceed_its_total(self) -> None:
        course = self.course()
        for position in (1, 2)[: len(course.stages)]:
            course.learn(position)
        for progress in course.progress:
            assert 0 <= progress.done <= (progress.done if progress.total is None else progress.total)

    # Randomness

    def test_leaves_global_randomness_alone(self) -> None:
        course = self.course()
        _seed_all(1)
        before = _global_randomness()
        self._learn_all(course)
        assert _global_randomness() == before, "random, numpy.random or torch.rand was used; use self.stage.rng"

    def test_same_seed_same_result(self) -> None:
        _seed_all(1)
        first = self._learn_all(self.course())
        _seed_all(2)
        _assert_same(first, self._learn_all(self.course()))

    # State

    def test_goes_on_from_a_finished_stage(self) -> None:
        course = self.course()
        course.learn(1)
        moment = course.moment()
        restored = self.course()
        restored.resume(moment, finished=True)
        for position in range(2, len(course.stages) + 1):
            assert course.learn(position) == restored.learn(position), "the losses differ"
        _assert_same(_weights(course), _weights(restored))

    @pytest.mark.parametrize("steps", [0, 1, 4])
    def test_goes_on_from_the_middle_of_a_task(self, steps: int) -> None:
        self._go_on(steps)

    def test_goes_on_where_gradients_are_accumulated(self) -> None:
        self._go_on(1, accumulation=2)

    def _go_on(self, steps: int, accumulation: int = 1) -> None:
        course = self.course(accumulation=accumulation)
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            for _ in range(steps):
                course.step()
            restored = self._resumed(course, accumulation)
            assert course.rest() == restored.rest(), "the losses differ"
            course.finish()
            restored.finish()
            _assert_same(_weights(course), _weights(restored))
            _assert_same_moment(restored.moment(), course.moment())

    def test_goes_on_from_the_pass_after_learning(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            course.rest()
            course.end()
            restored = self._resumed(course)
            course.after()
            restored.after()
            _assert_same(_weights(course), _weights(restored))
            _assert_same_moment(restored.moment(), course.moment())

    def _resumed(self, course: Course, accumulation: int = 1) -> Course:
        """Return a fresh course that stands where ``course`` does, restored from its checkpoint."""
        moment = course.moment()
        restored = self.course(accumulation=accumulation)
        restored.resume(moment)
        _assert_same_moment(restored.moment(), moment)
        return restored

    def _learn_all(self, course: Course) -> dict[str, Tensor]:
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
        return _weights(course)


def _answer(strategy: Strategy, examples: Sequence[Example]) -> None:
    """Answer examples as a run does, by their routes."""
    backbone, routes = strategy.backbone, strategy.route(examples)
    if routes is None:
        assert len(backbone.generate(examples, max_new_tokens=4)) == len(examples)
        return
    assert len(routes) == len(examples)
    assert all(isinstance(route, Route) and 0 <= route.margin <= 1 for route in routes)
    named = {name for route in routes for mixture in as_mixtures(route.selection) for name in mixture.names}
    assert named <= set(backbone.adapters.names), "examples are routed to adapters that do not exist"
    with backbone.adapters.using(combine([route.selection for route in routes])):
        assert len(backbone.generate(examples, max_new_tokens=4)) == len(examples)


def _mean_loss(backbone: Backbone, tasks: Sequence[Task]) -> float:
    with torch.no_grad():
        return float(backbone.loss(backbone.batch([e for task in tasks for e in task.examples("train")])))


def _weights(course: Course) -> dict[str, Tensor]:
    """Return the weights of all adapters, and of the strategy's own modules."""
    strategy, adapters = course.strategy, course.strategy.backbone.adapters
    modules = {f"modules/{name}": weight for name, weight in module_weights(strategy.modules).items()}
    return {**adapter_weights(adapters, adapters.names), **modules}


def _assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert sorted(first) == sorted(second), "there are not the same adapters"
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing, f"weights differ: {differing[:3]}"


def _assert_same_moment(restored: Moment, moment: Moment) -> None:
    """Assert that a restored strategy has the state of the original."""
    now, then = json.loads(restored.data), json.loads(moment.data)
    assert now["strategy"] == then["strategy"], "state() differs after restore()"
    assert restored.tensors["strategy"] == moment.tensors["strategy"], "the tensors of state() differ after restore()"
    assert restored.tensors["modules"] == moment.tensors["modules"], "modules differ after restore()"
    assert (now["active"], now["learning"]) == (then["active"], then["learning"]), "other adapters act or learn"


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _global_randomness() -> tuple[Any, bytes, bytes]:
    # The legacy state is a tuple: (name, keys, place, ...).
    return random.getstate(), repr(np.random.get_state(legacy=True)).encode(), torch.get_rng_state().numpy().tobytes()
