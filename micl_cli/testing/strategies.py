"""The contract of strategies: options, trainable weights, randomness, passes, and resuming from checkpoints."""

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
from micl_cli.api.strategy import ADAPTER, Route, Strategy, attribute_of
from micl_cli.api.task import Example, Task
from micl_cli.testing.course import BATCH_SIZE, Checkpoint, Course
from micl_cli.testing.tasks import toy_tasks
from micl_cli.testing.toy import ToyBackbone
from micl_cli.training.snapshot import adapter_weights, learning_weights, module_weights


class StrategyContract:
    """Tests of a strategy, for subclasses that set ``strategy``.

    ``options`` are passed to its constructor. ``adapter`` is the one that must be active after each
    task, or None if that varies. ``backbone`` and ``tasks`` may be overridden.
    """

    strategy: ClassVar[type[Strategy]]
    options: ClassVar[Mapping[str, Any]] = {}
    adapter: ClassVar[str | None] = ADAPTER

    def backbone(self) -> Backbone:
        """Return a new backbone, always with the same weights."""
        return ToyBackbone()

    def tasks(self) -> Sequence[Task]:
        """Return at least two tasks, one of which introduces a new modality."""
        return toy_tasks()

    def course(self, seed: int = 0, accumulation: int = 1, batch_size: int = BATCH_SIZE) -> Course:
        """Return a course with a new strategy and backbone, before its first stage."""
        strategy, options = self.strategy(self.backbone(), **self.options), self.options
        return Course(
            strategy, self.tasks(), seed=seed, options=options, accumulation=accumulation, batch_size=batch_size
        )

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
                assert option.parse(option.default) == option.default, f"the default of {name} is not valid"

    def test_options_are_attributes_of_the_same_name(self) -> None:
        course = self.course()
        strategy = course.strategy
        for option, declared in options_of(self.strategy).items():
            name = attribute_of(self.strategy, option)
            assert hasattr(strategy, name), f"option {option} is not stored as attribute {name}"
            value, attribute = self.options.get(option, declared.default), getattr(strategy, name)
            assert attribute == value or str(attribute) == str(value), f"attribute {name} differs from the option"
            strategy.enter(course.components.stage(1), {option: value})
            assert getattr(strategy, name) == value, f"option {option} cannot be set for a stage"

    # Learning

    def test_stages_contain_each_task_once(self) -> None:
        course = self.course()
        assert sorted(t.name for stage in course.stages for t in stage) == sorted(t.name for t in self.tasks())

    def test_learns(self) -> None:
        course = self.course()
        course.begin(1)
        backbone, tasks = course.strategy.backbone, course.stages[0]
        before = _mean_loss(backbone, tasks)
        course.rest()
        course.finish()
        assert _mean_loss(backbone, tasks) < before, "the loss on the first task has not decreased"

    def test_learns_every_stage_and_answers(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
            terms = course.last.terms
            json.dumps(terms, allow_nan=False)
            assert not terms or sum(terms.values()) == pytest.approx(course.last.loss, rel=1e-3, abs=1e-5)
            adapters = course.strategy.backbone.adapters
            assert adapters.active_names, "no adapter is active after the task"
            if self.adapter is not None:
                assert adapters.active == self.adapter
            _answer(course.strategy, course.stages[position - 1][0].examples("test"))

    def test_loss_and_gradient_are_the_same_for_all_splits(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            course.step()
            checkpoint = course.checkpoint()
            loss, gradients = course.gradients()
            for batch_size in (2, 1):
                split = self.course(accumulation=BATCH_SIZE // batch_size, batch_size=batch_size)
                split.resume(checkpoint)
                other_loss, other = split.gradients()
                message = f"a step of {BATCH_SIZE // batch_size} batches differs: see `population` and `step_examples`"
                assert other_loss == pytest.approx(loss, rel=1e-3), f"the loss of {message}"
                assert other.keys() == gradients.keys(), f"the gradient of {message}"
                assert all(_close(other[name], gradients[name]) for name in other), f"the gradient of {message}"
            course.rest()
            course.finish()

    def test_only_trainable_weights_change(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            adapters = course.strategy.backbone.adapters
            assert adapters.active_names, "no adapter is active while the task is learnt"
            before = _weights(course)
            trainable = set(dict(course.strategy.trainable()))
            while not course.state.finished:
                course.step()
            now = _weights(course)
            changed = {name for name, weight in now.items() if not torch.equal(weight, before[name])}
            assert changed <= trainable, f"weights changed that are not trainable: {sorted(changed - trainable)[:3]}"
            assert changed, "no weight changed"
            course.rest()
            course.finish()

    def test_trainable_weights_are_part_of_the_best_weights(self) -> None:
        course = self.course()
        course.begin(1)
        assert set(dict(course.strategy.trainable())) <= set(learning_weights(course.strategy)), (
            "some trainable weights are not part of the best weights: train their adapters, or add them to `modules`"
        )

    def test_the_best_weights_are_restored(self) -> None:
        course = self.course()
        course.begin(1)
        course.step()
        course.state.record_validation(float("inf"))
        best = learning_weights(course.strategy)
        course.rest()
        _assert_same(learning_weights(course.strategy), best)

    def test_the_base_never_changes(self) -> None:
        course = self.course()
        # Compared by identity, since adapters may rename the weights of the base model.
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

    def test_does_not_use_global_randomness(self) -> None:
        course = self.course()
        _seed_all(1)
        before = _global_randomness()
        self._learn_all(course)
        assert _global_randomness() == before, "random, numpy.random or torch.rand was used: use self.stage.rng"

    def test_same_seed_same_result(self) -> None:
        _seed_all(1)
        first = self._learn_all(self.course())
        _seed_all(2)
        _assert_same(first, self._learn_all(self.course()))

    # State

    def test_resumes_after_a_finished_stage(self) -> None:
        course = self.course()
        course.learn(1)
        checkpoint = course.checkpoint()
        restored = self.course()
        restored.resume(checkpoint, finished=True)
        for position in range(2, len(course.stages) + 1):
            assert course.learn(position) == restored.learn(position), "the losses differ"
        _assert_same(_weights(course), _weights(restored))

    @pytest.mark.parametrize("steps", [0, 1, 4])
    def test_resumes_within_a_task(self, steps: int) -> None:
        self._check_resuming(steps)

    def test_resumes_with_gradient_accumulation(self) -> None:
        self._check_resuming(1, accumulation=2)

    def _check_resuming(self, steps: int, accumulation: int = 1) -> None:
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
            _assert_same_checkpoint(restored.checkpoint(), course.checkpoint())

    def test_resumes_at_the_pass_after_learning(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            course.rest()
            course.end()
            restored = self._resumed(course)
            course.after()
            restored.after()
            _assert_same(_weights(course), _weights(restored))
            _assert_same_checkpoint(restored.checkpoint(), course.checkpoint())

    def _resumed(self, course: Course, accumulation: int = 1) -> Course:
        """Return a new course that is restored from a checkpoint of ``course``."""
        checkpoint = course.checkpoint()
        restored = self.course(accumulation=accumulation)
        restored.resume(checkpoint)
        _assert_same_checkpoint(restored.checkpoint(), checkpoint)
        return restored

    def _learn_all(self, course: Course) -> dict[str, Tensor]:
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
        return _weights(course)


def _answer(strategy: Strategy, examples: Sequence[Example]) -> None:
    """Answer examples by their routes, as in a run."""
    backbone, routes = strategy.backbone, strategy.route(examples)
    if routes is None:
        assert len(backbone.generate(examples, max_new_tokens=4)) == len(examples)
        return
    assert len(routes) == len(examples)
    assert all(isinstance(route, Route) and 0 <= route.margin <= 1 for route in routes)
    names = {name for route in routes for mixture in as_mixtures(route.selection) for name in mixture.names}
    assert names <= set(backbone.adapters.names), "examples are routed to adapters that do not exist"
    with backbone.adapters.using(combine([route.selection for route in routes])):
        assert len(backbone.generate(examples, max_new_tokens=4)) == len(examples)


def _mean_loss(backbone: Backbone, tasks: Sequence[Task]) -> float:
    with torch.no_grad():
        return float(backbone.loss(backbone.batch([e for task in tasks for e in task.examples("train")])))


def _close(first: Tensor, second: Tensor) -> bool:
    """Return whether two gradients are equal up to rounding."""
    return bool((first - second).norm() <= 1e-3 * max(float(first.norm()), float(second.norm()), 1e-4))


def _weights(course: Course) -> dict[str, Tensor]:
    """Return the weights of all adapters, and of the strategy's own modules."""
    strategy, adapters = course.strategy, course.strategy.backbone.adapters
    modules = {f"modules/{name}": weight for name, weight in module_weights(strategy.modules).items()}
    return {**adapter_weights(adapters, adapters.names), **modules}


def _assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert sorted(first) == sorted(second), "the names of the weights differ"
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing, f"weights differ: {differing[:3]}"


def _assert_same_checkpoint(restored: Checkpoint, original: Checkpoint) -> None:
    """Assert that a restored strategy has the state of the original."""
    data, expected = json.loads(restored.data), json.loads(original.data)
    tensors, expected_tensors = restored.tensors, original.tensors
    assert data["strategy"] == expected["strategy"], "state() differs after restore()"
    assert tensors["strategy"] == expected_tensors["strategy"], "the tensors of state() differ after restore()"
    assert tensors["modules"] == expected_tensors["modules"], "modules differ after restore()"
    assert data["active"] == expected["active"], "the active adapters differ after restore()"
    assert data["learning"] == expected["learning"], "the trained adapters differ after restore()"


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _global_randomness() -> tuple[Any, bytes, bytes]:
    # The legacy state is a tuple: (name, keys, position, ...).
    return random.getstate(), repr(np.random.get_state(legacy=True)).encode(), torch.get_rng_state().numpy().tobytes()
