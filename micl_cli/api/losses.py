"""Losses over answer positions. Shapes: N answer positions, V vocabulary entries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK_LOGITS = 1 << 18
"""The number of logits that are distilled at once on a CPU, so that their float32 terms fit its cache."""


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy in nats of ``logits`` [N, V] and ``labels`` [N]; zero if N is 0."""
    if not len(labels):
        return logits.sum() * 0.0
    return F.cross_entropy(logits.float(), labels)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(teacher/T) || softmax(student/T)), the mean over positions (Hinton et al. 2015).

    ``student`` and ``teacher`` [N, V] are logits at the same positions; the loss is zero if N is 0.
    Raises ValueError if the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} are not aligned")
    if not len(student):
        return student.sum() * 0.0
    loss: Tensor = _Distillation.apply(student, teacher.detach(), temperature)  # type: ignore[no-untyped-call]
    return loss


class _Distillation(torch.autograd.Function):
    """The loss above, computed in chunks of positions that fit the cache also for a large vocabulary.

    The gradient with respect to the student's logits is T / N (softmax(student/T) - softmax(teacher/T)).
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        rows = max(1, (CHUNK_LOGITS if student.device.type == "cpu" else 64 * CHUNK_LOGITS) // student.shape[1])
        gradient, total = torch.empty_like(student), student.new_zeros((), dtype=torch.float32)
        for start in range(0, len(student), rows):
            student_log = F.log_softmax(student[start : start + rows].float() / temperature, dim=-1)
            teacher_log = F.log_softmax(teacher[start : start + rows].float() / temperature, dim=-1)
            target = teacher_log.exp()
            total += torch.sum(target * teacher_log.sub_(student_log))
            gradient[start : start + rows] = student_log.exp_().sub_(target).mul_(temperature / len(student))
        ctx.save_for_backward(gradient)
        return total * (temperature**2 / len(student))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None
