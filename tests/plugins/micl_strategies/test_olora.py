"""O-LoRA does what its paper says: a block of ranks a task, orthogonal to those before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from micl_cli.api import AdapterSpec, PlanError, Task
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_cli.training.step import loss_and_terms
from micl_strategies.olora import OLoRA, grow_rank

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")
LAYERS = [f"layers.layers.0.{name}" for name in ("query", "key", "value", "mix", "widen", "narrow")]


def course(*tasks: Task, stage_options: dict[int, dict[str, Any]] | None = None, **options: Any) -> Course:
    return Course(OLoRA(ToyBackbone(), **options), tasks, options=options, stage_options=stage_options)


def state(made: Course) -> dict[str, Tensor]:
    return made.strategy.backbone.adapters.state("main")


def block(weights: dict[str, Tensor], first: int, last: int) -> bytes:
    """The bytes of A's rows and of B's columns from ``first`` up to ``last``, of every layer."""
    rows = [weights[f"{layer}.A"][first:last] for layer in LAYERS]
    columns = [weights[f"{layer}.B"][:, first:last] for layer in LAYERS]
    return b"".join(tensor.contiguous().numpy().tobytes() for tensor in (*rows, *columns))


def overlap(weights: dict[str, Tensor], size: int, position: int) -> float:
    old, new = slice(0, (position - 1) * size), slice((position - 1) * size, position * size)
    all_a = [weights[f"{layer}.A"].double().numpy() for layer in LAYERS]
    return float(sum(np.abs(a[old] @ a[new].T).sum() for a in all_a))


def test_a_later_task_leaves_earlier_blocks_alone() -> None:
    made = course(IMG_CAP, IMG_QA, AUD_QA, rank=1)
    for position in (1, 2, 3):
        before = state(made) if position > 1 else {}
        made.begin(position)
        fresh = state(made)
        made.rest()
        made.finish()
        after = state(made)
        if before:
            assert block(after, 0, position - 1) == block(before, 0, position - 1)
        assert block(after, position - 1, position) != block(fresh, position - 1, position)
        assert block(after, position, 4) == block(fresh, position, 4), "ranks of later tasks wait"


def test_ranks_are_shared_by_the_tasks_of_the_run() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.learn(1)
    before = state(made)
    made.learn(2)
    after = state(made)
    assert block(after, 0, 2) == block(before, 0, 2)
    assert block(after, 2, 3) != block(before, 2, 3)
    assert block(after, 3, 4) != block(before, 3, 4)


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_overlap_of_old_and_new_joins_the_loss(weight: float) -> None:
    made = course(IMG_CAP, IMG_QA, lambda_orthogonal=weight)
    made.learn(1)
    made.begin(2)
    made.step()
    batch = made.strategy.batch(IMG_QA.examples("train")[:4])
    expected = weight * overlap(state(made), 2, 2)
    terms = made.strategy.loss(batch)
    answers = float(made.strategy.backbone.loss(batch).detach())
    assert expected > 0
    assert isinstance(terms, dict)
    found = {name: float(term.detach()) for name, term in terms.items()}
    assert found == pytest.approx({"answers": answers, "overlap": expected}, rel=1e-5)


def test_the_overlap_teaches_the_new_block_only() -> None:
    made = course(IMG_CAP, IMG_QA, lambda_orthogonal=1.0)
    made.learn(1)
    made.begin(2)
    strategy = made.strategy
    batch = strategy.batch(IMG_QA.examples("train")[:4])
    weight = strategy.backbone.adapters.parameters("main")[f"{LAYERS[0]}.A"]
    (both,) = torch.autograd.grad(loss_and_terms(strategy.loss(batch))[0], [weight])
    (plain,) = torch.autograd.grad(strategy.backbone.loss(batch), [weight])
    a = weight.detach()
    expected = torch.sign(a[2:] @ a[:2].T) @ a[:2]
    assert torch.allclose((both - plain)[2:], expected, atol=1e-5)
    assert torch.allclose(both[:2], plain[:2], atol=1e-6)


def test_gradients_of_other_blocks_do_not_count_when_they_are_clipped() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.learn(1)
    made.begin(2)
    made.step()
    strategy = made.strategy
    torch.autograd.backward(loss_and_terms(strategy.loss(strategy.batch(IMG_QA.examples("train")[:4])))[0])
    strategy.constrain()
    grads = {n: w.grad for n, w in strategy.backbone.adapters.parameters("main").items() if w.grad is not None}
    for layer in LAYERS:
        down, up = grads[f"{layer}.A"], grads[f"{layer}.B"]
        assert not down[:2].any()
        assert not up[:, :2].any()
        assert down[2:].any()
        assert up[:, 2:].any()
    assert grads["connector.image.weight"].any()


def test_the_overlap_shrinks() -> None:
    left = []
    for weight in (0.0, 5.0):
        made = course(IMG_CAP, IMG_QA, lambda_orthogonal=weight)
        made.learn(1)
        made.learn(2)
        left.append(overlap(state(made), 2, 2))
    assert left[1] < left[0] / 2


def test_the_first_task_has_nothing_to_overlap_with() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.begin(1)
    made.step()
    assert made.last.terms == {}


def test_too_little_rank_to_share_is_refused_before_anything_is_learnt() -> None:
    made = course(*[IMG_CAP] * 5)
    with pytest.raises(PlanError, match="4 LoRA ranks") as refused:
        made.begin(1)
    assert "-b lora_rank N" in refused.value.hint
    assert "-o rank N" in refused.value.hint


@pytest.mark.parametrize(("tasks", "rank", "total"), [(2, 3, 6), (3, 2, 6), (2, 8, 16), (2, 1, 4)])
def test_the_adapter_grows_to_the_rank_of_each_task_at_the_same_scale(tasks: int, rank: int, total: int) -> None:
    made, plain = course(*[IMG_CAP] * tasks, rank=rank), ToyBackbone()
    plain.adapters.add("main", seed=0)
    made.begin(1)
    grown, own = (backbone.adapters.low_rank("main") for backbone in (made.strategy.backbone, plain))
    for layer, (a, b, scale) in grown.items():
        assert len(a) == b.shape[1] == total
        assert scale == pytest.approx(own[layer][2])
        assert torch.equal(a[: min(total, 4)], own[layer][0][: min(total, 4)])
    made.rest()
    made.finish()
    made.begin(2)
    assert len(made.strategy.backbone.adapters.low_rank("main")["layers.0.query"][0]) == total


def test_growing_leaves_what_was_learnt_as_it_is() -> None:
    made = course(IMG_CAP, rank=4)
    made.learn(1)
    backbone = made.strategy.backbone
    batch = backbone.batch(IMG_CAP.examples("test"))
    before, weights = backbone.answer_logits(batch)[0], state(made)
    grow_rank(backbone.adapters, 12, seed=3)
    assert torch.allclose(backbone.answer_logits(batch)[0], before, atol=1e-5)
    assert block(state(made), 0, 4) == block(weights, 0, 4)
    assert torch.equal(state(made)["connector.image.weight"], weights["connector.image.weight"])
    assert state(made)[f"{LAYERS[0]}.A"][4:].any()
    assert not state(made)[f"{LAYERS[0]}.B"][:, 4:].any()


def test_an_adapter_with_ranks_by_layer_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = AdapterSpec("lora", {"rank": 4, "ranks": "mix=2"})
    monkeypatch.setattr(ToyBackbone, "default_spec", lambda self: spec)
    with pytest.raises(PlanError, match="2 LoRA ranks, too few for 2 tasks of rank 8"):
        course(IMG_CAP, IMG_QA, rank=8).begin(1)


def test_a_rank_that_changes_between_tasks_is_refused() -> None:
    """Blocks would lie over each other, and an earlier task's would be overwritten."""
    made = course(IMG_CAP, IMG_QA, stage_options={1: {"rank": 2}, 2: {"rank": 1}})
    made.learn(1)
    with pytest.raises(PlanError, match="2 LoRA ranks") as refused:
        made.begin(2)
    assert "all tasks" in refused.value.hint


def test_the_block_s_size_survives_going_on() -> None:
    made = course(IMG_CAP, IMG_QA, rank=1)
    made.learn(1)
    restored = course(IMG_CAP, IMG_QA, rank=1)
    restored.resume(made.checkpoint(), finished=True)
    before = state(restored)
    restored.learn(2)
    assert block(state(restored), 0, 1) == block(before, 0, 1)
    assert block(state(restored), 2, 4) == block(before, 2, 4)


def test_an_adapter_that_is_no_plain_lora_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = AdapterSpec("lora", {"rank": 4, "inner": "matrix"})
    monkeypatch.setattr(ToyBackbone, "default_spec", lambda self: spec)
    with pytest.raises(PlanError, match="plain LoRA") as refused:
        course(IMG_CAP, IMG_QA).begin(1)
    assert refused.value.hint
