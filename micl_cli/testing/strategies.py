"""What every strategy keeps: its options, its weights, its randomness, its state."""

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
from micl_cli.api.strategy import ADAPTER, Strategy
from micl_cli.api.task import Task
from micl_cli.testing.course import Course, Moment
from micl_cli.testing.tasks import toy_tasks
from micl_cli.testing.toy import ToyBackbone


class StrategyContract:
    """Subclass it, name the strategy, and pytest runs these tests on it.

    ``options`` are given to its constructor. ``adapter`` is the one that must be active after a
    task; None where that differs from task to task. ``backbone`` and ``tasks`` may be overridden.
    """

    strategy: ClassVar[type[Strategy]]
    options: ClassVar[Mapping[str, Any]] = {}
    adapter: ClassVar[str | None] = ADAPTER

    def backbone(self) -> Backbone:
        """A fresh backbone to learn with, always the same."""
        return ToyBackbone()

    def tasks(self) -> Sequence[Task]:
        """The tasks to learn: at least two, of which one brings a new modality."""
        return toy_tasks()

    def course(self, seed: int = 0) -> Course:
        """A fresh strategy on a fresh backbone, before its first stage."""
        made = self.strategy(self.backbone(), **self.options)
        return Course(made, self.tasks(), seed=seed, options=self.options)

    # Options

    def test_options_have_a_help_text(self) -> None:
        for name, option in options_of(self.strategy).items():
            assert option.help.strip(), f"option {name} is not documented"

    def test_every_keyword_is_an_option(self) -> None:
        known = {"rng", *options_of(self.strategy)}
        for name, parameter in inspect.signature(self.strategy.__init__).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert name in known, f'annotate {name} with Annotated[type, "help"]'

    def test_options_are_attributes_of_the_same_name(self) -> None:
        made = self.strategy(self.backbone(), **self.options)
        for name, option in options_of(self.strategy).items():
            assert hasattr(made, name), f"option {name} is not kept as an attribute"
            value = self.options.get(name, option.default)
            assert getattr(made, name) == value or str(getattr(made, name)) == str(value), f"option {name} was changed"
            made.configure({name: value})
            assert getattr(made, name) == value, f"option {name} cannot be set anew"

    # Learning

    def test_stages_hold_each_task_once(self) -> None:
        course = self.course()
        assert sorted(t.name for stage in course.stages for t in stage) == sorted(t.name for t in self.tasks())

    def test_learns(self) -> None:
        course = self.course()
        course.begin(1)
        backbone = course.strategy.backbone
        before = _mean_loss(backbone, course.strategy.stage)
        course.rest()
        course.finish()
        assert _mean_loss(backbone, course.strategy.stage) < before, "the first task is no better known than before"

    def test_learns_every_stage_and_answers(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
            json.dumps(course.strategy.parts, allow_nan=False)
            backbone, examples = course.strategy.backbone, course.strategy.stage[0].examples("test")
            assert backbone.active in backbone.adapters, "no adapter is active after the task"
            if self.adapter is not None:
                assert backbone.active == self.adapter
            routed = course.strategy.route(examples)
            assert routed is None or len(routed) == len(examples)
            assert set(routed or ()) <= set(backbone.adapters), "examples are routed to adapters that do not exist"
            assert len(backbone.generate(examples, adapters=routed, max_new_tokens=4)) == len(examples)

    def test_only_what_is_trainable_moves(self) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            active = course.strategy.backbone.active
            assert active is not None, "no adapter is active while the task is learnt"
            before = course.strategy.backbone.adapter_state(active)
            course.rest()
            named = course.strategy.backbone.adapter_weights(active)
            moving = {id(weight) for weight in course.strategy.parameters()}
            frozen = {name: weight for name, weight in named.items() if id(weight) not in moving}
            changed = [name for name, weight in frozen.items() if not torch.equal(weight.detach().cpu(), before[name])]
            assert not changed, f"not trainable, but they moved: {changed[:3]}"
            assert any(not torch.equal(named[n].detach().cpu(), before[n]) for n in named), "nothing moved"
            course.finish()

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

    # Randomness

    def test_leaves_global_randomness_alone(self) -> None:
        _seed_all(1)
        before = _global_randomness()
        self._learn_all(self.course())
        assert _global_randomness() == before, "random, numpy.random or torch.rand was used; use self.rng"

    def test_same_numbers_same_result(self) -> None:
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
        _assert_same_moment(restored, moment)
        for position in range(2, len(course.stages) + 1):
            assert course.learn(position) == restored.learn(position), "the losses differ"
        _assert_same(_adapters(course), _adapters(restored))

    @pytest.mark.parametrize("steps", [0, 1, 4])
    def test_goes_on_from_the_middle_of_a_task(self, steps: int) -> None:
        course = self.course()
        for position in range(1, len(course.stages) + 1):
            course.begin(position)
            for _ in range(steps):
                course.step()
            moment = course.moment()
            restored = self.course()
            restored.resume(moment)
            _assert_same_moment(restored, moment)
            assert course.rest() == restored.rest(), "the losses differ"
            course.finish()
            restored.finish()
            _assert_same(_adapters(course), _adapters(restored))
            _assert_same_moment(restored, course.moment())

    def _learn_all(self, course: Course) -> dict[str, Tensor]:
        for position in range(1, len(course.stages) + 1):
            course.learn(position)
        return _adapters(course)


def _mean_loss(backbone: Backbone, stage: Sequence[Task]) -> float:
    with torch.no_grad():
        return float(backbone.loss(backbone.batch([e for task in stage for e in task.examples("train")])))


def _adapters(course: Course) -> dict[str, Tensor]:
    backbone = course.strategy.backbone
    return {f"{a}/{n}": weight for a in backbone.adapters for n, weight in backbone.adapter_state(a).items()}


def _assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert sorted(first) == sorted(second), "there are not the same adapters"
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing, f"weights differ: {differing[:3]}"


def _assert_same_moment(restored: Course, moment: Moment) -> None:
    """A restored strategy must say of itself what the original said."""
    again = restored.moment()
    assert json.loads(again.data) == json.loads(moment.data), "state() differs after restore()"
    assert again.tensors == moment.tensors, "the tensors of state() differ after restore()"
    assert again.active == moment.active


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _global_randomness() -> tuple[Any, bytes, bytes]:
    # The legacy state is a tuple: (name, keys, place, ...).
    return random.getstate(), repr(np.random.get_state(legacy=True)).encode(), torch.get_rng_state().numpy().tobytes()
