"""The buffer keeps its limits and is fair; what is rehearsed is learnt, with its connectors."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from micl_cli.api import Example, Media, Strategy, Task
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.buffer import Buffer
from micl_strategies.ewc import EWC
from micl_strategies.finetune import Finetune
from micl_strategies.moincl import MoInCL
from micl_strategies.replay import Replay

IMG_CAP, AUD_QA, VID_QA = toy_task("image", "captioning"), toy_task("audio", "qa"), toy_task("video", "qa")


def texts(name: str, count: int, size: int = 10) -> Task:
    """A task of ``count`` examples without media, of ``size`` bytes each."""
    made = [Example(f"{i}", ("p" * (size - 1),), ("r",), task=name) for i in range(count)]
    return Task(name, frozenset(), "qa", "accuracy", load=lambda split: made if split == "train" else [])


def taken(tasks: list[Task], capacity: int, policy: str, most_bytes: int = 0, seed: int = 0) -> Buffer:
    buffer, rng = Buffer(), random.Random(seed)
    for task in tasks:
        buffer.add(task, capacity, policy, most_bytes, rng)
    return buffer


# The bounds

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=5)
POLICIES = st.sampled_from(["task", "reservoir"])


@given(SIZES, st.integers(1, 40), POLICIES, st.integers(0, 300), st.integers(0, 9))
def test_never_more_than_the_capacity_nor_than_the_bytes(
    sizes: list[int], capacity: int, policy: str, most_bytes: int, seed: int
) -> None:
    buffer, rng = Buffer(), random.Random(seed)
    for place, count in enumerate(sizes):
        task = texts(f"t/{place}", count, size=5 + place)
        buffer.add(task, capacity, policy, most_bytes, rng)
        assert len(buffer) <= capacity
        assert not most_bytes or buffer.bytes <= most_bytes
        assert len(set(buffer.stored)) == len(buffer), "no example is kept twice"
        if sum(sizes[: place + 1]) <= capacity and not most_bytes and policy == "reservoir":
            assert len(buffer) == sum(sizes[: place + 1]), "all are kept while there is room"


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), POLICIES, st.integers(0, 9))
def test_a_smaller_capacity_from_one_stage_on_holds(capacities: list[int], policy: str, seed: int) -> None:
    buffer, rng = Buffer(), random.Random(seed)
    for place, capacity in enumerate(capacities):
        buffer.add(texts(f"t/{place}", 20), capacity, policy, 0, rng)
        assert len(buffer) <= capacity


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 9))
def test_the_shares_of_tasks_differ_by_one_at_most(tasks: int, capacity: int, seed: int) -> None:
    buffer = taken([texts(f"t/{i}", 40) for i in range(tasks)], capacity, "task", seed=seed)
    shares = Counter(name for name, _ in buffer.stored)
    counts = [shares[f"t/{i}"] for i in range(tasks)]
    assert sum(counts) == capacity
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 5), st.integers(1, 40), st.integers(10, 400), st.integers(0, 9))
def test_also_where_bytes_are_the_bound(tasks: int, capacity: int, most_bytes: int, seed: int) -> None:
    buffer = taken([texts(f"t/{i}", 40) for i in range(tasks)], capacity, "task", most_bytes, seed)
    shares = Counter(name for name, _ in buffer.stored)
    counts = [shares[f"t/{i}"] for i in range(tasks)]
    assert sum(counts) == min(capacity, most_bytes // 10)
    assert max(counts) - min(counts) <= 1


def test_a_medium_that_several_share_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "two").write_bytes(b"x" * 500)
    images = [Media("image", tmp_path / name) for name in ("one", "two")]
    contents = [(images[0], "ask"), (images[0], "ask"), (*images, "ask")]
    made = [Example(f"{i}", content, ("yes",)) for i, content in enumerate(contents)]
    task = Task("t/media", frozenset({"image"}), "qa", "accuracy", load=lambda split: made)
    assert taken([task], 3, "task").bytes == 1500 + 3 * 6
    assert taken([task], 3, "task", most_bytes=1200).bytes <= 1200


# Fairness


@pytest.mark.parametrize(
    ("policy", "capacity", "most_bytes"), [("task", 6, 0), ("reservoir", 6, 0), ("reservoir", 20, 60)]
)
def test_each_example_has_the_same_chance_to_stay(policy: str, capacity: int, most_bytes: int) -> None:
    """Three tasks of 10; of 30 examples 6 stay, so each in one of five buffers (binomial, five sigma)."""
    tasks, rounds = [texts(f"t/{i}", 10) for i in range(3)], 2000
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(rounds):
        found.update((name, example.id) for name, example in taken(tasks, capacity, policy, most_bytes, seed).stored)
    assert len(found) == 30
    spread = (rounds * 0.2 * 0.8) ** 0.5
    assert all(abs(count - rounds * 0.2) < 5 * spread for count in found.values())


def test_a_smaller_capacity_favours_no_task() -> None:
    found: Counter[str] = Counter()
    for seed in range(2000):
        buffer, rng = Buffer(), random.Random(seed)
        for place, capacity in enumerate((8, 8, 3)):
            buffer.add(texts(f"t/{place}", 10), capacity, "reservoir", 0, rng)
        found.update(name for name, _ in buffer.stored)
    assert found.total() == 6000
    assert all(abs(found[f"t/{i}"] - 2000) < 5 * (6000 * 2 / 9) ** 0.5 for i in range(3))


def test_the_reservoir_follows_the_tasks_sizes() -> None:
    found: Counter[str] = Counter()
    for seed in range(300):
        found.update(
            n for n, _ in taken([texts("t/small", 10), texts("t/large", 90)], 20, "reservoir", seed=seed).stored
        )
    assert found["t/large"] / found.total() == pytest.approx(0.9, abs=0.02)


def test_what_is_drawn_is_answered_by_one_of_its_references() -> None:
    buffer, rng = taken([IMG_CAP], 12, "task"), random.Random(0)
    drawn = [example for _ in range(20) for example in buffer.draw(5, rng)]
    assert all(example.answer in example.references for example in drawn)
    assert {example.references.index(str(example.answer)) for example in drawn} == {0, 1}
    ids = [example.id for example in buffer.draw(5, rng)]
    assert len(set(ids)) == 5
    assert len(buffer.draw(50, rng)) == 12


def test_a_restored_buffer_keeps_the_same_examples() -> None:
    tasks = [IMG_CAP, AUD_QA]
    first, second = taken(tasks, 7, "reservoir"), Buffer()
    second.restore(json.loads(json.dumps(first.as_json())), tasks)
    assert second.stored == first.stored
    for buffer in (first, second):
        buffer.add(VID_QA, 7, "reservoir", 0, random.Random(5))
    assert second.stored == first.stored


# Rehearsal


def course(strategy: type[Strategy], *tasks: Task, **options: Any) -> Course:
    return Course(strategy(ToyBackbone(), **options), tasks, options=options)


def state(made: Course) -> dict[str, Tensor]:
    return made.strategy.backbone.adapters.state("main")


@pytest.mark.parametrize("strategy", [Replay, Finetune, MoInCL, EWC], ids=lambda strategy: strategy.__name__)
@pytest.mark.parametrize("replay", [0, 6])
def test_an_old_connector_moves_only_when_it_is_rehearsed(strategy: type[Strategy], replay: int) -> None:
    made = course(strategy, IMG_CAP, AUD_QA, replay=replay, replay_batch=3)
    made.learn(1)
    before = state(made)
    made.learn(2)
    after = state(made)
    assert torch.equal(after["connector.image.weight"], before["connector.image.weight"]) == (replay == 0)
    assert not torch.equal(after["connector.audio.weight"], before["connector.audio.weight"])
    assert torch.equal(after["connector.video.weight"], before["connector.video.weight"])


@pytest.mark.parametrize("strategy", [Replay, MoInCL, EWC], ids=lambda strategy: strategy.__name__)
def test_so_many_kept_examples_join_each_batch(strategy: type[Strategy]) -> None:
    made = course(strategy, IMG_CAP, AUD_QA, replay=6, replay_batch=3)
    made.learn(1)
    made.begin(2)
    batch = made.strategy.batch(AUD_QA.examples("train")[:4])
    assert [e.id for e in batch.examples[:4]] == [e.id for e in AUD_QA.examples("train")[:4]]
    assert sum(example.modalities == {"image"} for example in batch.examples) == 3
    assert {e.id for e in batch.examples if e.modalities == {"image"}} <= {e.id for e in IMG_CAP.examples("train")}


def test_nothing_is_rehearsed_during_the_first_task() -> None:
    made = course(Replay, IMG_CAP, AUD_QA)
    made.begin(1)
    assert len(made.strategy.batch(IMG_CAP.examples("train")[:4])) == 4


@pytest.mark.parametrize("strategy", [Replay, MoInCL, EWC], ids=lambda strategy: strategy.__name__)
def test_going_on_rehearses_the_same(strategy: type[Strategy]) -> None:
    options = {"replay": 5, "replay_batch": 2}
    made = course(strategy, IMG_CAP, AUD_QA, **options)
    made.learn(1)
    made.begin(2)
    made.step()
    restored = course(strategy, IMG_CAP, AUD_QA, **options)
    restored.resume(made.checkpoint())
    assert made.rest() == restored.rest()
    made.finish()
    restored.finish()
    assert made.strategy.state().data == restored.strategy.state().data
    assert {name for name, _ in made.strategy.state().data["buffer"]["stored"]} == {IMG_CAP.name, AUD_QA.name}


def test_rehearsal_holds_back_forgetting() -> None:
    left = []
    for replay in (0, 12):
        made = course(Replay, IMG_CAP, AUD_QA, replay=replay)
        made.learn(1)
        made.learn(2)
        backbone = made.strategy.backbone
        with torch.no_grad():
            left.append(float(backbone.loss(backbone.batch(IMG_CAP.examples("train")))))
    assert left[1] < left[0]
