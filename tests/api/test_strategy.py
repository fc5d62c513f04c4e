"""A strategy with nothing overridden is sequential fine-tuning."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import torch
from torch import nn

from micl_cli.api import Backbone, Stage, Strategy
from micl_cli.testing import Course, StrategyContract, ToyBackbone, toy_tasks


class TestStrategy(StrategyContract):
    strategy = Strategy


def test_it_learns_one_adapter_all_along() -> None:
    course = Course(Strategy(ToyBackbone()), toy_tasks())
    for position in (1, 2, 3):
        course.learn(position)
        assert course.strategy.backbone.adapters.names == ("main",)


def test_what_moves_is_lora_and_the_connector_of_this_task() -> None:
    course = Course(Strategy(ToyBackbone()), toy_tasks())
    moved = []
    for position in (1, 2, 3):
        course.begin(position)
        adapters = course.strategy.backbone.adapters
        moved.append({adapters.group(name) for name, _ in course.strategy.trainable()})
    image, audio = {"lora", "connector/image"}, {"lora", "connector/audio"}
    assert moved == [image, image, audio]


def test_the_run_s_seed_decides_the_first_adapter() -> None:
    def first(seed: int) -> dict[str, torch.Tensor]:
        course = Course(Strategy(ToyBackbone()), toy_tasks(), seed=seed)
        course.begin(1)
        return course.strategy.backbone.adapters.state("main")

    same, again, other = first(1), first(1), first(2)
    assert all(torch.equal(same[name], again[name]) for name in same)
    assert not all(torch.equal(same[name], other[name]) for name in same)


def test_it_answers_by_the_active_adapter_and_has_no_state() -> None:
    strategy = Strategy(ToyBackbone())
    assert strategy.route(toy_tasks()[0].examples("test")) is None
    assert (strategy.state().tensors, strategy.state().data) == ({}, {})


def test_options_are_set_anew_by_name() -> None:
    class Strong(Strategy):
        def __init__(self, backbone: Backbone, *, strength: Annotated[float, "how much"] = 1.0, **options: Any) -> None:
            super().__init__(backbone, **options)
            self.strength = strength

    strategy = Strong(ToyBackbone(), strength=2.0)
    stage = Stage(position=2, tasks=toy_tasks()[:1])
    strategy.enter(stage, {"strength": 3.0})
    assert (strategy.strength, strategy.stage) == (3.0, stage)
    with pytest.raises(TypeError):
        Strong(ToyBackbone(), weakness=1.0)


def test_modules_of_its_own_are_trainable() -> None:
    course = Course(Strategy(ToyBackbone()), toy_tasks())
    course.strategy.modules["gate"] = nn.Linear(2, 1)
    course.begin(1)
    named = dict(course.strategy.trainable())
    assert named["modules/gate.weight"] is course.strategy.modules["gate"].weight
    assert list(named)[-2:] == ["modules/gate.weight", "modules/gate.bias"]


def test_a_stage_knows_its_modalities() -> None:
    assert Stage(position=1, tasks=toy_tasks()).modalities == {"image", "audio"}
    assert Stage(position=1, tasks=()).modalities == frozenset()


def test_without_a_registry_no_part_is_loaded() -> None:
    with pytest.raises(LookupError, match="'ridge'"):
        Stage(position=1, tasks=()).load_part("routers", "ridge")
