"""SLM trains keys before weights, weighs slots for each example, and answers without the task of the example."""

from __future__ import annotations

import json
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api import BASE, Mixture, PlanError, Progress, Task
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.slm import SLM, retrieve, train_keys

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")
TASKS = (IMG_CAP, IMG_QA, AUD_QA)
SLOTS = ["slot1-1", "slot1-2", "slot1-3", "slot1-4"]


def course(*tasks: Task, stage_options: dict[int, dict[str, Any]] | None = None, **options: Any) -> Course:
    options = {"key_steps": 20, **options}
    return Course(SLM(ToyBackbone(), **options), tasks, options=options, stage_options=stage_options)


def slm(made: Course) -> SLM:
    assert isinstance(made.strategy, SLM)
    return made.strategy


def trained(queries: Tensor, slots: int, **options: Any) -> Tensor:
    given = {"top": 2, "masked": 0.25, "steps": 80, "learning_rate": 5e-2, "seed": 0, **options}
    steps: Generator[Progress, None, Tensor] = train_keys(queries, slots, **given)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            keys: Tensor = end.value
            return keys


# Retrieval


def test_weights_are_similarities_over_their_sum() -> None:
    """Two groups of the query, three slots; worked out by hand."""
    queries = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    keys = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [3.0, 4.0]]])
    similarity = [(1 + 1) / 2, (1 + 0) / 2, (0 + 0.8) / 2]
    weights = retrieve(queries, keys, top=2)
    torch.testing.assert_close(weights, torch.tensor([[1.0 / 1.5, 0.5 / 1.5, 0.0]]))
    assert similarity == [1.0, 0.5, 0.4]
    allowed = torch.tensor([[False, True, True]])
    torch.testing.assert_close(retrieve(queries, keys, 2, allowed), torch.tensor([[0.0, 0.5 / 0.9, 0.4 / 0.9]]))
    torch.testing.assert_close(
        retrieve(queries, keys, 3, torch.tensor([[True, False, False]])), torch.tensor([[1.0, 0, 0]])
    )


def test_the_scale_of_a_group_has_no_effect() -> None:
    drawn = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(5, 3, 4, generator=drawn), torch.randn(6, 3, 4, generator=drawn)
    scaled = queries * torch.tensor([0.01, 1.0, 50.0])[:, None]
    torch.testing.assert_close(retrieve(scaled, keys, 2), retrieve(queries, keys, 2))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000))
def test_weights_are_a_distribution_over_at_most_the_top_slots(slots: int, top: int, seed: int) -> None:
    """Also where every similarity is negative, or a query is zero."""
    drawn = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(4, 2, 3, generator=drawn), torch.randn(slots, 2, 3, generator=drawn)
    queries[0], queries[1] = 0.0, -keys.mean(0)
    weights = retrieve(queries, keys, top)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert ((weights > 0).sum(1) <= min(top, slots)).all()


# Keys


def two_clusters() -> tuple[Tensor, Tensor]:
    """Return 40 queries [40, 2, 8] around two directions, and the directions [2, 2, 8]."""
    drawn = torch.Generator().manual_seed(1)
    centres = torch.randn(2, 2, 8, generator=drawn)
    return centres.repeat(20, 1, 1) + 0.1 * torch.randn(40, 2, 8, generator=drawn), centres


def test_keys_move_to_the_clusters_of_the_queries() -> None:
    queries, centres = two_clusters()
    before, after = trained(queries, 4, steps=0), trained(queries, 4)
    cosines = [F.cosine_similarity(keys[:, None], centres[None], dim=-1) for keys in (before, after)]  # [4, 2, groups]
    nearest = [each.amax(0) for each in cosines]
    assert (nearest[0] < 0.8).all()
    assert (nearest[1] > 0.9).all(), "each cluster has a key of its own in each group"
    assert (cosines[1].amax(1) > cosines[0].amax(1)).all(), "each key is nearer to its cluster than before"


def test_keys_that_are_left_out_at_random_let_all_others_be_used() -> None:
    """Without it the nearest key at the start is trained alone."""
    drawn = torch.Generator().manual_seed(2)
    queries = torch.randn(1, 1, 8, generator=drawn) + 0.1 * torch.randn(40, 1, 8, generator=drawn)
    start = trained(queries, 4, steps=0, top=1)
    used = []
    for masked in (0.0, 0.25):
        keys = trained(queries, 4, masked=masked, top=1)
        similar = F.cosine_similarity(keys, queries.mean(0)[None], dim=-1)
        used.append(int((similar > 0.95).sum()))
        decayed = F.cosine_similarity(keys, start, dim=-1)
        assert masked or int((decayed < 0.999).sum()) == 1
    assert used == [1, 4]


def test_keys_start_orthogonal_in_each_group() -> None:
    keys = trained(torch.randn(3, 2, 8), 4, steps=0)
    for group in keys.unbind(1):
        torch.testing.assert_close(group @ group.T, torch.eye(4), atol=1e-5, rtol=0)


def test_keys_are_trained_before_the_weights_and_frozen_afterwards() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.begin(1)
    keys = slm(made).keys[IMG_CAP.name].clone()
    assert {progress.label for progress in made.progress} == {"features", "keys"}
    assert keys.shape[:2] == (4, 6) and not keys.requires_grad
    made.rest()
    made.finish()
    made.learn(2)
    assert list(slm(made).keys) == [IMG_CAP.name, IMG_QA.name]
    assert torch.equal(slm(made).keys[IMG_CAP.name], keys)


# Learning


def test_the_loss_is_that_of_each_example_by_its_own_weights() -> None:
    """Against each example read alone by a fixed weighted sum of the slots."""
    made = course(IMG_CAP)
    made.begin(1)
    for _ in range(4):
        made.step()
    strategy, adapters = slm(made), made.strategy.backbone.adapters
    made.components.eval()
    examples = IMG_CAP.examples("train")[:5]
    ours = strategy.loss(strategy.batch(examples))
    assert isinstance(ours, Tensor)
    strategy.step_end(5)
    keys = strategy.keys[IMG_CAP.name]
    expected, tokens = 0.0, 0
    for example in examples:
        (query,) = strategy.queries([example])
        similarity = sum(F.cosine_similarity(query[group], keys[:, group], dim=-1) for group in range(6)) / 6
        assert isinstance(similarity, Tensor)
        best = similarity.topk(2)
        weights = dict(zip([SLOTS[i] for i in best.indices], (best.values / best.values.sum()).tolist(), strict=True))
        with adapters.using({**weights, "connectors1": 1.0}):
            batch = strategy.backbone.batch([example])
            expected += float(strategy.backbone.loss(batch)) * len(batch.example_index)
            tokens += len(batch.example_index)
    assert float(ours.detach()) == pytest.approx(expected / tokens, rel=1e-4)


def test_gradients_reach_the_slots_of_the_task_that_act_and_its_connector() -> None:
    made = course(IMG_CAP, IMG_QA, top=1)
    made.learn(1)
    made.begin(2)
    made.step()
    strategy = slm(made)
    (example,) = IMG_QA.examples("train")[:1]
    torch.autograd.backward(strategy.loss(strategy.batch([example])))  # type: ignore[arg-type]
    weights = retrieve(strategy.queries([example]), strategy.keys[IMG_QA.name], 1)
    acting = f"slot2-{int(weights.argmax()) + 1}"
    with_gradient = {
        name
        for name in strategy.backbone.adapters.names
        for weight in strategy.backbone.adapters.parameters(name).values()
        if weight.grad is not None and weight.grad.any()
    }
    assert with_gradient == {acting, "connectors2"}


def test_between_steps_the_selection_holds_for_batches_of_any_size() -> None:
    made = course(IMG_CAP)
    made.begin(1)
    equal = {**dict.fromkeys(SLOTS, 0.25), "connectors1": 1.0}
    assert made.strategy.backbone.adapters.active == equal
    made.strategy.loss(made.strategy.batch(IMG_CAP.examples("train")[:3]))
    assert isinstance(made.strategy.backbone.adapters.active, Mixture), "gradient checkpointing computes layers again"
    made.strategy.step_end(1)
    assert made.strategy.backbone.adapters.active == equal


def test_slots_start_different_and_the_same_in_every_run() -> None:
    states = []
    for _ in range(2):
        made = course(IMG_CAP)
        made.begin(1)
        states.append([made.strategy.backbone.adapters.state(name) for name in SLOTS])
    key = "layers.layers.0.query.A"
    assert all(torch.equal(one[key], other[key]) for one, other in zip(*states, strict=True))
    assert not any(torch.equal(one[key], other[key]) for one, other in pairwise(states[0]))


def test_a_later_task_changes_nothing_of_earlier_ones() -> None:
    made = course(*TASKS)
    adapters = made.strategy.backbone.adapters
    made.learn(1)
    before = {name: adapters.state(name) for name in adapters.names}
    assert list(before) == [*SLOTS, "connectors1"]
    made.learn(2)
    made.learn(3)
    for name, weights in before.items():
        assert all(torch.equal(adapters.state(name)[key], weight) for key, weight in weights.items())


# Answering


def test_slots_of_all_tasks_with_the_modalities_compete_and_the_heaviest_task_is_predicted() -> None:
    made = course(*TASKS)
    for position in (1, 2):
        made.learn(position)
    strategy = slm(made)
    examples = [*IMG_CAP.examples("test"), *IMG_QA.examples("test")]
    weights = retrieve(strategy.queries(examples), torch.cat(list(strategy.keys.values())), 2)
    routes = strategy.route(examples) or ()
    for row, route in zip(weights, routes, strict=True):
        totals = {IMG_CAP.name: float(row[:4].sum()), IMG_QA.name: float(row[4:].sum())}
        assert route.task == max(totals, key=lambda task: totals[task])
        assert route.margin == pytest.approx(abs(totals[IMG_CAP.name] - totals[IMG_QA.name]), abs=1e-6)
        names = [f"slot{1 + i // 4}-{1 + i % 4}" for i in range(8)]
        expected = {name: float(weight) for name, weight in zip(names, row, strict=True) if weight}
        expected |= {f"connectors{p}": total for p, total in enumerate(totals.values(), 1) if total}
        assert route.selection == pytest.approx(expected)


def test_queries_are_routed_to_the_right_task_without_being_told() -> None:
    made = course(*TASKS, key_steps=100)
    for position in (1, 2, 3):
        made.learn(position)
    examples = [example for task in TASKS for example in task.examples("test")]
    routes = made.strategy.route(examples) or ()
    assert [route.task for route in routes] == [example.task for example in examples]


def test_the_base_model_answers_where_no_task_has_the_modalities() -> None:
    made = course(IMG_CAP, AUD_QA)
    sound = AUD_QA.examples("test")[0]
    assert made.strategy.route([sound]) is None
    made.learn(1)
    routes = made.strategy.route([sound, IMG_CAP.examples("test")[0]]) or ()
    assert [route.task for route in routes] == [BASE, IMG_CAP.name]
    assert routes[0].selection is None


def test_other_groups_in_the_middle_are_refused() -> None:
    made = course(IMG_CAP, IMG_QA, stage_options={2: {"groups": 3}})
    made.learn(1)
    with pytest.raises(PlanError, match="cannot use 3 groups here: the keys of earlier tasks have 6") as refused:
        made.begin(2)
    assert "-o groups N" in refused.value.hint


def test_tasks_may_have_different_numbers_of_slots() -> None:
    made = course(IMG_CAP, IMG_QA, stage_options={2: {"slots": 2}})
    made.learn(1)
    made.learn(2)
    assert [len(keys) for keys in slm(made).keys.values()] == [4, 2]
    routes = made.strategy.route(IMG_QA.examples("test")) or ()
    names = {name for route in routes for name in route.selection or ()}
    assert names <= set(made.strategy.backbone.adapters.names)


def test_a_run_reports_where_queries_went(learn: Any, micl: Any) -> None:
    run = learn("--strategy", "slm", "-o", "key_steps", "20").out.strip()
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    assert (report["routing"]["router"], report["routing"]["passes"]) == ("slm", 0)
    assert report["routing"]["accuracy"] == 100
