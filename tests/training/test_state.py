from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from micl_cli.testing import toy_task
from micl_cli.training.state import StageState
from micl_cli.training.step import train_step


@pytest.fixture
def state(make_components: Any) -> StageState:
    components = make_components(
        tasks=[toy_task("image", "captioning")], max_steps=None, epochs=4, warmup=0.25, batch_size=5
    )
    made = StageState(components, components.enter(1))
    components.strategy.begin(made.stage)
    made.open()
    return made


def test_the_order_is_another_in_each_epoch_and_the_same_for_a_seed(state: StageState) -> None:
    assert (state.steps_per_epoch, state.steps_planned) == (3, 12)
    epochs = []
    for _ in range(2):
        drawn = []
        for _ in range(state.steps_per_epoch):
            drawn += state.next_examples()
            state.step += 1
        epochs.append([example.id for example in drawn])
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(e.id for e in state.examples)
    assert epochs[0] != epochs[1]
    state.step = 0
    assert [e.id for e in state.next_examples()] == epochs[0][:5]


def test_each_reference_is_learnt_in_turn(state: StageState) -> None:
    targets: dict[str, set[str]] = {}
    for step in range(state.steps_per_epoch * 20):
        state.step = step
        for example in state.next_examples():
            targets.setdefault(example.id, set()).add(example.target)
    assert all(targets[example.id] == set(example.references) for example in state.examples)


def test_the_rate_rises_then_falls_to_nothing(state: StageState) -> None:
    rates = []
    for step in range(state.steps_planned):
        state.step = step
        rates.append(state.set_learning_rate())
    top = state.components.plan.training.learning_rate
    assert rates[:4] == pytest.approx([top / 4, top / 2, top * 3 / 4, top])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < top / 10
    assert state.optimizer.param_groups[0]["lr"] == rates[-1]


def test_patience_ends_a_task_and_the_best_weights_come_back(state: StageState) -> None:
    state.components.plan.training.__dict__["patience"] = 2
    weight = next(iter(state.components.backbone.adapters.parameters("main").values()))
    recorded = []
    for value in (10.0, 30.0, 20.0, 30.0):
        with torch.no_grad():
            weight.fill_(value)
        recorded.append((state.record_validation(value), state.stopped_early))
    assert recorded == [(True, False), (True, False), (False, False), (True, True)], "a tie is no gain for patience"
    state.restore_best()
    assert float(weight.detach().flatten()[0]) == 30.0
    assert state.best == 30.0


@pytest.mark.parametrize(
    ("scores", "best"), [((0.0, 0.0, 0.0), 2), ((1.0, float("nan"), 0.0), 0), ((float("nan"), 3.0, 2.0), 1)]
)
def test_ties_go_to_the_later_weights_and_no_number_is_never_the_best(
    state: StageState, scores: tuple[float, ...], best: int
) -> None:
    weight = next(iter(state.components.backbone.adapters.parameters("main").values()))
    for at, score in enumerate(scores):
        with torch.no_grad():
            weight.fill_(float(at))
        state.record_validation(score)
    state.restore_best()
    assert float(weight.detach().flatten()[0]) == best


def test_where_no_score_is_a_number_the_last_weights_stay(state: StageState) -> None:
    weight = next(iter(state.components.backbone.adapters.parameters("main").values()))
    assert not state.record_validation(float("nan"))
    with torch.no_grad():
        weight.fill_(7.0)
    state.restore_best()
    assert float(weight.detach().flatten()[0]) == 7.0


def test_all_that_learns_is_part_of_the_best_weights(state: StageState) -> None:
    """Also an adapter that learns without acting, and the strategy's own modules; not one that only acts."""
    strategy, adapters = state.components.strategy, state.components.backbone.adapters
    for name in ("other", "old"):
        adapters.add(name, seed=1)
    adapters.activate(["main", "old"], learning=["main", "other"])
    strategy.modules["gate"] = nn.Linear(2, 2)
    values = [next(iter(adapters.parameters(name).values())) for name in ("main", "other", "old")]
    values.append(strategy.modules["gate"].weight)
    for score in (2.0, 1.0):
        with torch.no_grad():
            for value in values:
                value.fill_(score)
        state.record_validation(score)
    state.restore_best()
    assert [float(value.detach().flatten()[0]) for value in values] == [2.0, 2.0, 1.0, 2.0]


def test_own_modules_are_counted_and_optimised(make_components: Any) -> None:
    components = make_components()
    state = StageState(components, components.enter(1))
    components.strategy.begin(state.stage)
    state.open()
    alone = state.trainable_parameters
    components.strategy.modules["gate"] = nn.Linear(2, 3)
    state.open()
    assert state.trainable_parameters == alone + 2 * 3 + 3
    assert sum(w.numel() for group in state.optimizer.param_groups for w in group["params"]) == alone + 9


def test_a_snapshot_brings_everything_back(state: StageState, make_components: Any) -> None:
    def step(at: StageState) -> float:
        return train_step(at.components, at).loss * (1 + at.stage.rng.random())

    step(state)
    state.record_validation(12.0)
    snapshot = state.snapshot()
    expected = [step(state) for _ in range(3)]
    training = {"max_steps": None, "epochs": 4, "warmup": 0.25, "batch_size": 5}
    components = make_components(tasks=[toy_task("image", "captioning")], **training)
    torch.manual_seed(99)
    other = StageState(components, components.enter(1))
    other.restore(snapshot)
    assert (other.phase, other.step, other.best) == ("learning", 1, 12.0)
    assert [step(other) for _ in range(3)] == expected


def test_after_learning_nothing_is_opened_again(state: StageState, make_components: Any) -> None:
    train_step(state.components, state)
    state.phase = "after"
    snapshot = state.snapshot()
    assert set(snapshot.optimizer) == {"torch_rng"}
    other = make_components(tasks=[toy_task("image", "captioning")])
    restored = StageState(other, other.enter(1))
    restored.restore(snapshot)
    assert (restored.phase, restored.step, restored.example_count) == ("after", 1, 12)
    assert restored.trainable_parameters == state.trainable_parameters
    assert restored.examples == ()
