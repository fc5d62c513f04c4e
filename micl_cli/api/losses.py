"""Losses over answer positions. Shapes: N answer positions, V vocabulary entries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

TOGETHER = 1 << 18
"""Logits that are distilled together on a CPU: their float32 terms fit its cache."""


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy in nats. ``logits`` [N, V], ``labels`` [N]; zero where N is 0."""
    if not len(labels):
        return logits.sum() * 0.0
    return F.cross_entropy(logits.float(), labels)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher/T) || softmax(student/T)), mean over positions (Hinton et al. 2015).

    ``student`` and ``teacher`` [N, V] are logits at the same positions; zero where N is 0.
    Raises ValueError where the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} are not aligned")
    if not len(student):
        return student.sum() * 0.0
    loss: Tensor = _Distillation.apply(student, teacher.detach(), temperature)  # type: ignore[no-untyped-call]
    return loss


class _Distillation(torch.autograd.Function):
    """The loss above, some positions at a time: of a large vocabulary the terms of all would not fit a cache.

    The gradient in the student's logits is T / N (softmax(student/T) - softmax(teacher/T)).
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        rows = max(1, (TOGETHER if student.device.type == "cpu" else 64 * TOGETHER) // student.shape[1])
        gradient, total = torch.empty_like(student), student.new_zeros((), dtype=torch.float32)
        for at in range(0, len(student), rows):
            ours = F.log_softmax(student[at : at + rows].float() / temperature, dim=-1)
            theirs = F.log_softmax(teacher[at : at + rows].float() / temperature, dim=-1)
            wanted = theirs.exp()
            total += torch.sum(wanted * theirs.sub_(ours))
            gradient[at : at + rows] = ours.exp_().sub_(wanted).mul_(temperature / len(student))
        ctx.save_for_backward(gradient)
        return total * (temperature**2 / len(student))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None
