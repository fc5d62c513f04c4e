"""Losses over answer positions. Shapes: N answer positions, V vocabulary entries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
    ours = F.log_softmax(student.float() / temperature, dim=-1)
    theirs = F.log_softmax(teacher.detach().float() / temperature, dim=-1)
    return torch.nn.functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
