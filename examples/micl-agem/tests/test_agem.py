"""The strategy agrees with the paper."""

from __future__ import annotations

import pytest
import torch
from micl_agem.strategy import AGEM

from micl_cli.testing import Course, ToyBackbone, toy_tasks


@pytest.fixture
def strategy() -> AGEM:
    """Return the strategy in its second task, with all examples of the first one in memory."""
    course = Course(AGEM(ToyBackbone(), batch_size=100), toy_tasks())
    course.learn(1)
    course.begin(2)
    assert isinstance(course.strategy, AGEM)
    return course.strategy


def weights_of(strategy: AGEM) -> list[torch.nn.Parameter]:
    return [weight for _, weight in strategy.trainable()]


def reference_of(strategy: AGEM) -> list[torch.Tensor]:
    loss = strategy.backbone.loss(strategy.backbone.batch(strategy.memory))
    return list(torch.autograd.grad(loss, weights_of(strategy), materialize_grads=True, allow_unused=True))


def constrained(strategy: AGEM, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    for weight, gradient in zip(weights_of(strategy), gradients, strict=True):
        weight.grad = gradient.clone()
    strategy.constrain()
    return [weight.grad for weight in weights_of(strategy) if weight.grad is not None]


def dot(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    return sum(float((one * two).sum()) for one, two in zip(first, second, strict=True))


def test_a_gradient_that_agrees_with_the_memory_is_unchanged(strategy: AGEM) -> None:
    gradients = reference_of(strategy)
    after = constrained(strategy, gradients)
    assert all(torch.equal(one, two) for one, two in zip(gradients, after, strict=True))


def test_only_the_conflicting_component_of_a_gradient_is_removed(strategy: AGEM) -> None:
    reference = reference_of(strategy)
    noise = torch.Generator().manual_seed(0)
    gradients = [torch.randn(r.shape, generator=noise) - 9 * r for r in reference]
    share = dot(gradients, reference) / dot(reference, reference)
    assert share < 0
    after = constrained(strategy, gradients)
    expected = [g - share * r for g, r in zip(gradients, reference, strict=True)]
    assert all(torch.allclose(one, two, atol=1e-4) for one, two in zip(after, expected, strict=True))
    assert dot(after, reference) == pytest.approx(0, abs=1e-2)


def test_per_task_examples_of_each_task_are_stored() -> None:
    course = Course(AGEM(ToyBackbone(), per_task=5), toy_tasks())
    for position in (1, 2):
        course.learn(position)
    assert isinstance(course.strategy, AGEM)
    assert [example.task for example in course.strategy.memory] == ["toy/img_cap"] * 5 + ["toy/img_qa"] * 5


def test_the_gradient_of_the_first_task_is_unchanged() -> None:
    course = Course(AGEM(ToyBackbone()), toy_tasks())
    course.begin(1)
    assert isinstance(course.strategy, AGEM)
    gradients = [torch.ones_like(weight) for weight in weights_of(course.strategy)]
    assert all(bool((gradient == 1).all()) for gradient in constrained(course.strategy, gradients))
