from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.plan import Training
from micl_cli.testing import toy_task
from micl_cli.training.state import StageState, planned_steps, steps_in_epoch


@pytest.fixture
def work(make_parts: Any) -> StageState:
    parts = make_parts(tasks=[toy_task("image", "captioning")], max_steps=None, epochs=4, warmup=0.25, batch_size=5)
    strategy = parts.strategy
    strategy.position, strategy.stage = 1, parts.stages[0]
    made = StageState(parts, 1, parts.stages[0])
    strategy.begin(parts.stages[0][0])
    made.open()
    return made


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.none() | st.integers(1, 30))
def test_every_example_is_seen_once_an_epoch(
    examples: int, batch: int, more: int, epochs: int, most: int | None
) -> None:
    training = Training(epochs=epochs, batch_size=batch, accumulation=more, max_steps=most)
    steps = steps_in_epoch(training, examples)
    assert (steps - 1) * batch * more < examples <= steps * batch * more
    assert planned_steps(training, examples, 1) == min(epochs * steps, most or epochs * steps)


def test_the_order_is_another_in_each_epoch_and_the_same_for_a_seed(work: StageState) -> None:
    assert (work.in_epoch, work.planned) == (3, 12)
    epochs = []
    for _ in range(2):
        drawn = []
        for _ in range(work.in_epoch):
            drawn += work.drawn()
            work.step += 1
        epochs.append([example.id for example in drawn])
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(e.id for e in work.examples)
    assert epochs[0] != epochs[1]
    work.step = 0
    assert [e.id for e in work.drawn()] == epochs[0][:5]


def test_each_reference_is_taught_in_turn(work: StageState) -> None:
    taught: dict[str, set[str]] = {}
    for step in range(work.in_epoch * 20):
        work.step = step
        for example in work.drawn():
            taught.setdefault(example.id, set()).add(example.target)
    assert all(taught[example.id] == set(example.references) for example in work.examples)


def test_the_rate_rises_then_falls_to_nothing(work: StageState) -> None:
    rates = []
    for step in range(work.planned):
        work.step = step
        rates.append(work.set_rate())
    top = work.parts.plan.training.learning_rate
    assert rates[:4] == pytest.approx([top / 4, top / 2, top * 3 / 4, top])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < top / 10
    assert work.optimizer.param_groups[0]["lr"] == rates[-1]


def test_patience_ends_a_task_and_the_best_weights_come_back(work: StageState) -> None:
    work.parts.plan.training.__dict__["patience"] = 2
    backbone = work.parts.backbone
    weights = next(iter(backbone.adapter_weights("main").values()))
    judged = []
    for value in (10.0, 30.0, 20.0, 30.0):
        with torch.no_grad():
            weights.fill_(value)
        judged.append((work.judge(value), work.ended))
    assert judged == [(True, False), (True, False), (False, False), (False, True)]
    work.restore_best()
    assert float(weights.detach().flatten()[0]) == 30.0
    assert work.best == 30.0


def test_a_snapshot_brings_everything_back(work: StageState, make_parts: Any) -> None:
    def step(at: StageState) -> float:
        strategy = at.parts.strategy
        at.set_rate()
        loss = strategy.loss(strategy.batch(at.drawn())) * (1 + strategy.rng.random())
        loss.backward()
        at.optimizer.step()
        at.optimizer.zero_grad()
        at.step += 1
        return float(loss.detach())

    step(work)
    work.judge(12.0)
    kept = work.snapshot()
    expected = [step(work) for _ in range(3)]
    training = {"max_steps": None, "epochs": 4, "warmup": 0.25, "batch_size": 5}
    parts = make_parts(tasks=[toy_task("image", "captioning")], **training)
    parts.strategy.position, parts.strategy.stage = 1, parts.stages[0]
    torch.manual_seed(99)
    other = StageState(parts, 1, parts.stages[0])
    other.restore(kept)
    assert (other.step, other.best) == (1, 12.0)
    assert [step(other) for _ in range(3)] == expected
