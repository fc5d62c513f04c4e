"""EWF does what its paper says: weights after a task are drawn back to those before it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.api import Task
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.ewf import EWF

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")
MIX = "layers.layers.0.mix.B"
Weights = dict[str, Tensor]


def course(*tasks: Task, **options: Any) -> Course:
    return Course(EWF(ToyBackbone(), **options), tasks, options=options)


def state(made: Course) -> Weights:
    return made.strategy.backbone.adapters.state("main")


def around_the_last(made: Course) -> tuple[Weights, Weights, Weights]:
    """Learn every task; (before the last one, at its endpoint, after it)."""
    last = len(made.stages)
    for position in range(1, last):
        made.learn(position)
    made.begin(last)
    before = state(made)
    made.rest()
    endpoint = state(made)
    made.finish()
    return before, endpoint, state(made)


def fused(new: Tensor, old: Tensor, alpha: float) -> Tensor:
    return (1 - alpha) * old + alpha * new


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_weights_after_a_task_lie_between_old_and_new(alpha: float) -> None:
    before, endpoint, after = around_the_last(course(IMG_CAP, IMG_QA, alpha=alpha))
    for name in after:
        if name.startswith("layers"):
            assert not torch.equal(before[name], endpoint[name])
            assert torch.allclose(after[name], fused(endpoint[name], before[name], alpha), atol=1e-6), name
        else:
            assert torch.equal(after[name], endpoint[name]), "connectors are not fused unless asked for"


def test_connectors_are_fused_where_asked_for() -> None:
    before, endpoint, after = around_the_last(course(IMG_CAP, IMG_QA, alpha=0.3, fuse_connectors=True))
    name = "connector.image.weight"
    assert not torch.equal(before[name], endpoint[name])
    assert torch.allclose(after[name], fused(endpoint[name], before[name], 0.3), atol=1e-6)


def test_a_new_modality_s_connector_is_never_fused() -> None:
    before, endpoint, after = around_the_last(course(IMG_CAP, AUD_QA, alpha=0.3, fuse_connectors=True))
    assert not torch.equal(before["connector.audio.weight"], endpoint["connector.audio.weight"])
    assert torch.equal(after["connector.audio.weight"], endpoint["connector.audio.weight"])
    assert torch.equal(after["connector.image.weight"], before["connector.image.weight"])


@pytest.mark.parametrize("when", ["task", "epoch"])
def test_the_first_task_is_not_fused(when: str) -> None:
    _, endpoint, after = around_the_last(course(IMG_CAP, alpha=0.1, fuse_after=when))
    plain = around_the_last(course(IMG_CAP, alpha=1.0))[2]
    assert all(torch.equal(after[name], endpoint[name]) for name in after)
    assert all(torch.equal(after[name], plain[name]) for name in after)


def test_or_every_epoch_is_fused() -> None:
    made = course(IMG_CAP, IMG_QA, alpha=0.0, fuse_after="epoch")
    made.learn(1)
    before = state(made)
    made.begin(2)
    for _ in range(made.state.steps_per_epoch - 1):
        made.step()
    assert not torch.equal(state(made)[MIX], before[MIX])
    made.step()
    assert all(torch.equal(weight, before[name]) for name, weight in state(made).items() if name.startswith("layers"))
    made.rest()
    endpoint = state(made)
    made.finish()
    assert all(torch.equal(weight, endpoint[name]) for name, weight in state(made).items())


def test_only_one_adapter_is_left() -> None:
    made = course(IMG_CAP, IMG_QA)
    around_the_last(made)
    assert made.strategy.backbone.adapters.names == ("main",)


@pytest.mark.parametrize(("tasks", "alpha"), [((IMG_CAP, IMG_QA), 0.5**0.5), ((IMG_CAP, IMG_QA, AUD_QA), 3**-0.5)])
def test_alpha_falls_with_the_number_of_tasks_like_the_paper_s_of_classes(tasks: Any, alpha: float) -> None:
    before, endpoint, after = around_the_last(course(*tasks, alpha_rule="tasks", alpha=0.0))
    assert torch.allclose(after[MIX], fused(endpoint[MIX], before[MIX], alpha), atol=1e-6)
    assert not torch.equal(before[MIX], endpoint[MIX])


def test_distillation_is_the_divergence_from_the_model_before_the_task() -> None:
    made = course(IMG_CAP, IMG_QA, distill=0.5)
    made.learn(1)
    made.begin(2)
    made.step()
    old, new = ToyBackbone(), ToyBackbone()
    for model, name in ((old, "teacher"), (new, "main")):
        model.adapters.add("only")
        model.adapters.load("only", made.strategy.backbone.adapters.state(name))
        model.adapters.activate("only")
    batch = made.strategy.batch(IMG_QA.examples("train")[:4])
    terms = made.strategy.loss(batch)
    assert isinstance(terms, dict)
    with torch.no_grad():
        p, q = (model.answer_logits(model.batch(batch.examples))[0].double().log_softmax(-1) for model in (old, new))
        expected = 0.5 * float((p.exp() * (p - q)).sum(-1).mean())
        answers = float(new.loss(new.batch(batch.examples)))
    assert expected > 1e-4
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(
        {"answers": answers, "distillation": expected}, rel=1e-3
    )


def test_nothing_is_distilled_while_the_first_task_is_learnt() -> None:
    made = course(IMG_CAP, distill=0.5)
    made.begin(1)
    made.step()
    assert made.last.terms == {}
