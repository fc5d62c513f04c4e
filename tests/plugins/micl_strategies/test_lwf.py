"""LwF does what its paper says: the model as it stood teaches, on the new task's own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from micl_cli.api import Example, Task
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.lwf import LwF
from micl_strategies.single_adapter import TEACHER

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")


def course(*tasks: Task, **options: Any) -> Course:
    return Course(LwF(ToyBackbone(), **options), tasks, options=options)


def whole_copy(made: Course) -> ToyBackbone:
    """A model of its own, as the course's stands."""
    model = ToyBackbone()
    model.adapters.add("main")
    model.adapters.load("main", made.strategy.backbone.adapters.state("main"))
    model.adapters.activate("main")
    return model


def log_chances(model: ToyBackbone, example: Example, temperature: float = 1.0) -> tuple[Any, list[int]]:
    """[positions, vocabulary] log-probabilities in double precision, and the answer's tokens."""
    with torch.no_grad():
        logits, labels = model.answer_logits(model.batch([example]))
    x = logits.double().numpy() / temperature
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True)), labels.tolist()


def two_models(
    student: ToyBackbone, teacher: ToyBackbone, examples: Sequence[Example], temperature: float
) -> tuple[float, float]:
    """(cross entropy, T^2 KL(teacher || student)), means over answer positions, one example at a time."""
    likelihoods: list[float] = []
    divergences: list[float] = []
    for example in examples:
        rows, labels = log_chances(student, example)
        likelihoods += [row[label] for row, label in zip(rows, labels, strict=True)]
        q, p = log_chances(student, example, temperature)[0], log_chances(teacher, example, temperature)[0]
        divergences += (np.exp(p) * (p - q)).sum(-1).tolist()
    return -float(np.mean(likelihoods)), temperature**2 * float(np.mean(divergences))


@pytest.mark.parametrize("second", [IMG_QA, AUD_QA], ids=lambda task: task.short)
@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 2.0), (0.3, 1.0), (4.0, 5.0)])
def test_the_loss_is_that_of_two_whole_models(second: Task, weight: float, temperature: float) -> None:
    made = course(IMG_CAP, second, lambda_lwf=weight, temperature=temperature)
    made.learn(1)
    teacher = whole_copy(made)
    made.begin(2)
    for _ in range(3):
        made.step()
    student = whole_copy(made)
    examples = second.examples("train")[3:8]
    answers, distilled = two_models(student, teacher, examples, temperature)
    terms = made.strategy.loss(made.strategy.batch(examples))
    assert isinstance(terms, dict)
    assert distilled > 1e-3
    found = {name: float(term.detach()) for name, term in terms.items()}
    assert found == pytest.approx({"answers": answers, "lwf": weight * distilled}, rel=1e-4)


def test_the_gradient_reaches_the_student_alone() -> None:
    made = course(IMG_CAP, IMG_QA, lambda_lwf=5.0)
    made.learn(1)
    made.begin(2)
    made.step()
    before = made.strategy.backbone.adapters.state(TEACHER)
    made.rest()
    after = made.strategy.backbone.adapters.state(TEACHER)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.grad is None for weight in made.strategy.backbone.adapters.parameters(TEACHER).values())


def test_the_first_task_is_plain_fine_tuning() -> None:
    made = course(IMG_CAP, lambda_lwf=100.0)
    made.begin(1)
    batch = made.strategy.batch(IMG_CAP.examples("train")[:4])
    loss = made.strategy.loss(batch)
    assert isinstance(loss, torch.Tensor)
    assert torch.equal(loss, made.strategy.backbone.loss(batch))
    assert made.strategy.backbone.adapters.names == ("main",)


def test_the_teacher_goes_when_its_task_is_learnt() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.learn(1)
    made.begin(2)
    assert list(made.strategy.backbone.adapters.names) == ["main", TEACHER]
    made.rest()
    made.finish()
    assert list(made.strategy.backbone.adapters.names) == ["main"]
    assert made.strategy.backbone.adapters.active == "main"


def test_a_heavy_distillation_keeps_the_student_near_its_teacher() -> None:
    apart = []
    for weight in (0.0, 20.0):
        made = course(IMG_CAP, IMG_QA, lambda_lwf=weight)
        made.learn(1)
        teacher = whole_copy(made)
        made.learn(2)
        student = whole_copy(made)
        apart.append(two_models(student, teacher, IMG_QA.examples("test"), 2.0)[1])
    assert apart[1] < apart[0] / 2
