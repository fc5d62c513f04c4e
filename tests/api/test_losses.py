"""Losses against their formulas, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from micl_cli.api import answer_loss, distillation_loss

Matrix = NDArray[np.float64]


def softmax(x: Matrix) -> Matrix:
    e = np.exp(x - x.max(-1, keepdims=True))
    result: Matrix = e / e.sum(-1, keepdims=True)
    return result


def drawn(seed: int, rows: int, words: int) -> Matrix:
    return np.random.default_rng(seed).normal(0, 4, (rows, words))


sizes = st.tuples(st.integers(0, 2**31), st.integers(1, 6), st.integers(2, 9))


@given(sizes)
@settings(max_examples=50, deadline=None)
def test_answer_loss_is_the_mean_negative_log_likelihood(size: tuple[int, int, int]) -> None:
    logits = drawn(*size)
    labels = np.random.default_rng(size[0]).integers(0, size[2], size[1])
    expected = -np.log(softmax(logits)[np.arange(size[1]), labels]).mean()
    assert float(answer_loss(torch.tensor(logits), torch.tensor(labels))) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(sizes, st.floats(0.5, 20))
@settings(max_examples=50, deadline=None)
def test_distillation_is_the_scaled_divergence_from_the_teacher(size: tuple[int, int, int], temperature: float) -> None:
    student, teacher = drawn(*size), drawn(size[0] + 1, *size[1:])
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * (p * (np.log(p) - np.log(q))).sum(-1).mean()
    found = float(distillation_loss(torch.tensor(student), torch.tensor(teacher), temperature))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    logits = torch.tensor(drawn(0, 5, 7)).requires_grad_()
    loss = distillation_loss(logits, logits.detach(), 5.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    distillation_loss(student, teacher, 2.0).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_no_positions_cost_nothing_and_still_have_a_gradient() -> None:
    none = torch.zeros(0, 4, requires_grad=True)
    for loss in (answer_loss(none, torch.zeros(0, dtype=torch.long)), distillation_loss(none, none.detach(), 5.0)):
        assert float(loss) == 0
        loss.backward()


def test_half_precision_is_summed_in_full() -> None:
    logits = torch.tensor(drawn(0, 200, 50))
    labels = torch.arange(200) % 50
    assert answer_loss(logits.bfloat16(), labels).dtype == torch.float32
    assert float(answer_loss(logits.bfloat16(), labels)) == pytest.approx(float(answer_loss(logits, labels)), rel=1e-2)


def test_positions_that_are_not_aligned_are_refused() -> None:
    with pytest.raises(ValueError, match=r"student \(3, 4\) and teacher \(2, 4\) are not aligned"):
        distillation_loss(torch.zeros(3, 4), torch.zeros(2, 4), 5.0)
