"""EWC does what its paper says: a Fisher information, and a quadratic penalty around each old task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.api import Batch, Example, Task
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.ewc import EWC

IMG_CAP, IMG_QA = toy_task("image", "captioning"), toy_task("image", "qa")
IMG_MORE = replace(IMG_QA, name="toy/more")
PLAIN = {"fisher_from": "labels", "normalise": "none", "fisher_examples": 100}
Weights = dict[str, Tensor]


A, C = "main/layers.layers.0.query.B", "main/connector.image.bias"


class Coin(ToyBackbone):
    """A logistic regression on two weights: logit = (a + c / 1000) x, with x the example's prompt as a number.

    a is of LoRA, c of the connector; the answer "1" is heads. ``A`` and ``C`` name them among the trainable weights.
    """

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        weights = self.adapters.parameters("main")
        x = torch.tensor([float(example.prompt) for example in batch.examples])
        logit = (weights[A.removeprefix("main/")][0, 0] + 1e-3 * weights[C.removeprefix("main/")][0]) * x
        return torch.stack([torch.zeros_like(logit), logit], 1), torch.tensor(_heads(batch.examples))


def _heads(examples: Sequence[Example]) -> list[int]:
    return [int(example.target) for example in examples]


def coins(*tosses: tuple[float, int]) -> Task:
    made = [Example(f"{i}", (f"{x}",), (f"{y}",)) for i, (x, y) in enumerate(tosses)]
    return Task("toy/coins", frozenset({"image"}), "qa", "accuracy", load=lambda split: made)


def ewc(made: Course) -> EWC:
    assert isinstance(made.strategy, EWC)
    return made.strategy


def course(*tasks: Task, **options: Any) -> Course:
    return Course(EWC(ToyBackbone(), **options), tasks, options=options)


def moving(strategy: EWC) -> Weights:
    return {name: weight.detach().clone() for name, weight in strategy.trainable()}


def by_hand(weights: Weights, task: Task) -> Weights:
    """The empirical Fisher information of a toy model with these weights, example by example."""
    model = ToyBackbone()
    model.adapters.add("main")
    model.adapters.load("main", weights)
    model.adapters.activate("main")
    found = {f"main/{name}": torch.zeros_like(weight) for name, weight in weights.items()}
    for example in task.examples("train"):
        logits, labels = model.answer_logits(model.batch([example]))
        chosen = logits[torch.arange(len(labels)), labels]
        torch.autograd.backward((chosen - logits.logsumexp(-1)).sum())
        for name, weight in model.adapters.parameters("main").items():
            if weight.grad is not None:
                found[f"main/{name}"] += weight.grad**2 / len(task.examples("train"))
                weight.grad = None
    return found


def learn_two(**options: Any) -> tuple[Course, list[tuple[Weights, Weights]]]:
    """A course some steps into its third task, and (Fisher information, weights) at the end of the first two."""
    made = course(IMG_CAP, IMG_QA, IMG_MORE, **options)
    kept = []
    for position, task in ((1, IMG_CAP), (2, IMG_QA)):
        made.begin(position)
        made.rest()
        weights = made.strategy.backbone.adapters.state("main")
        kept.append((by_hand(weights, task), named(weights)))
        made.finish()
    made.begin(3)
    for _ in range(3):
        made.step()
    return made, kept


def named(weights: Weights) -> Weights:
    """The weights of the adapter by their names among all that is trainable."""
    return {f"main/{name}": weight for name, weight in weights.items()}


def quadratic(now: Weights, fisher: Weights, then: Weights) -> Tensor:
    return torch.stack(
        [(fisher[n].double() * (w.double() - then[n].double()) ** 2).sum() for n, w in now.items()]
    ).sum()


def slope(now: Weights, fisher: Weights, then: Weights) -> Weights:
    return {name: 2 * fisher[name] * (weight - then[name]) for name, weight in now.items()}


def assert_penalty(strategy: EWC, expected: Tensor, slopes: Weights) -> None:
    """The penalty is half of lambda times ``expected``, and so is its gradient."""
    half = strategy.lambda_ewc / 2
    penalty = strategy.penalty()
    assert float(penalty.detach()) == pytest.approx(half * float(expected), rel=1e-4)
    named = dict(strategy.trainable())
    gradients = torch.autograd.grad(penalty, list(named.values()))
    for name, gradient in zip(named, gradients, strict=True):
        size = float(slopes[name].abs().max())
        assert torch.allclose(gradient, half * slopes[name], rtol=1e-3, atol=half * size * 1e-4), name
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients)


# The penalty


def test_the_sum_form_holds_to_every_task_with_its_own_fisher_information() -> None:
    made, ((first, anchor), (second, later)) = learn_two(lambda_ewc=30.0, **PLAIN)
    strategy = ewc(made)
    now = moving(strategy)
    one, two = slope(now, first, anchor), slope(now, second, later)
    slopes = {name: one[name] + two[name] for name in now}
    apart = quadratic(later, first, anchor)
    assert float(apart) > 1e-4, "the tasks' minima are apart, so there is a constant to be kept"
    assert_penalty(strategy, quadratic(now, first, anchor) + quadratic(now, second, later), slopes)


def test_the_online_form_fades_and_holds_to_the_latest_weights() -> None:
    made, ((first, _), (second, later)) = learn_two(form="online", gamma=0.4, lambda_ewc=30.0, **PLAIN)
    strategy = ewc(made)
    now = moving(strategy)
    fisher = {name: 0.4 * first[name] + second[name] for name in first}
    assert_penalty(strategy, quadratic(now, fisher, later), slope(now, fisher, later))


def test_the_penalty_joins_the_loss() -> None:
    made, _ = learn_two(lambda_ewc=30.0, **PLAIN)
    strategy = ewc(made)
    batch = strategy.batch(IMG_MORE.examples("train")[:4])
    with torch.no_grad():
        terms, answers, penalty = strategy.loss(batch), strategy.backbone.loss(batch), strategy.penalty()
    assert isinstance(terms, dict)
    expected = {"answers": float(answers), "ewc": float(penalty)}
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected)


def test_the_first_task_is_plain_fine_tuning() -> None:
    made = course(IMG_CAP, lambda_ewc=1e6)
    made.begin(1)
    made.step()
    assert made.last.terms == {}


def test_a_strong_penalty_keeps_the_weights_that_matter() -> None:
    drift = []
    for strength in (0.0, 1000.0):
        made = course(IMG_CAP, IMG_QA, lambda_ewc=strength, fisher_from="labels")
        made.learn(1)
        before, fisher = named(made.strategy.backbone.adapters.state("main")), dict(ewc(made).fisher)
        made.learn(2)
        now = named(made.strategy.backbone.adapters.state("main"))
        drift.append(float(quadratic({name: now[name] for name in fisher}, fisher, before)))
    assert drift[1] < drift[0] / 2


def test_a_restored_one_pays_the_same_penalty() -> None:
    made, _ = learn_two(lambda_ewc=30.0, **PLAIN)
    restored = course(IMG_CAP, IMG_QA, IMG_MORE, lambda_ewc=30.0, **PLAIN)
    restored.resume(made.checkpoint())
    assert min(ewc(made).offset.values()) > 0
    assert torch.equal(ewc(made).penalty(), ewc(restored).penalty())


# The Fisher information, in closed form


@pytest.fixture
def fisher() -> Callable[..., Weights]:
    """The Fisher information of a coin whose weight a is 0.7, after a task of ``tosses``."""

    def estimate(tosses: Sequence[tuple[float, int]], **options: Any) -> Weights:
        options = {"normalise": "none", "fisher_examples": len(tosses), **options}
        made = Course(EWC(Coin(), **options), [coins(*tosses)], options=options)
        made.begin(1)
        with torch.no_grad():
            weights = dict(made.strategy.trainable())
            weights[A][0, 0], weights[C][0] = 0.7, 0.0
        made.finish()
        return ewc(made).fisher

    return estimate


TOSSES = [(1.0, 1), (-2.0, 1), (0.5, 0), (1.5, 0)]


def chance(x: float) -> float:
    return 1 / (1 + math.exp(-0.7 * x))


def test_from_labels_it_is_the_mean_squared_gradient(fisher: Callable[..., Weights]) -> None:
    found = fisher(TOSSES, fisher_from="labels")
    expected = sum(((y - chance(x)) * x) ** 2 for x, y in TOSSES) / 4
    assert float(found[A][0, 0]) == pytest.approx(expected, rel=1e-5)
    assert float(found[C][0]) == pytest.approx(expected * 1e-6, rel=1e-5)
    assert float(found[A.replace(".B", ".A")].abs().sum()) == 0


def test_from_the_model_s_own_answers_it_is_the_true_one(fisher: Callable[..., Weights]) -> None:
    many = TOSSES * 400
    found = float(fisher(many, fisher_from="sampled")[A][0, 0])
    assert found == pytest.approx(sum(chance(x) * (1 - chance(x)) * x**2 for x, _ in TOSSES) / 4, rel=0.1)


def test_the_labels_do_not_matter_to_the_model_s_own_answers(fisher: Callable[..., Weights]) -> None:
    turned = [(x, 1 - y) for x, y in TOSSES]
    for source, alike in (("sampled", True), ("labels", False)):
        first, second = (fisher(tosses, fisher_from=source)[A] for tosses in (TOSSES, turned))
        assert torch.equal(first, second) == alike


def test_only_so_many_examples_are_read() -> None:
    read: list[str] = []

    class Counting(Coin):
        def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
            read.extend(example.id for example in batch.examples)
            return super().answer_logits(batch)

    made = Course(EWC(Counting(), fisher_examples=3), [coins(*TOSSES)])
    made.begin(1)
    made.finish()
    assert len(read) == len(set(read)) == 3


def test_the_fisher_information_is_a_pass_with_progress_for_each_example() -> None:
    made = course(IMG_CAP, fisher_examples=5)
    made.begin(1)
    made.rest()
    made.end()
    assert ewc(made).fisher == {}
    made.after()
    assert [(p.done, p.total) for p in made.progress] == [(done, 5) for done in range(1, 6)]
    assert ewc(made).fisher


def test_each_group_is_brought_to_mean_one(fisher: Callable[..., Weights]) -> None:
    """The connector's gradients are a thousand times smaller: beside LoRA's they would count for nothing."""
    found = fisher(TOSSES, fisher_from="labels", normalise="group")
    for group in ("layers", "connector"):
        values = torch.cat([tensor.flatten() for name, tensor in found.items() if name.startswith(f"main/{group}")])
        assert float(values.mean()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(("normalise", "least", "most"), [("group", 1e-2, 1.0), ("none", 0.0, 1e-5)])
def test_so_a_group_with_tiny_gradients_is_held_too(normalise: str, least: float, most: float) -> None:
    options: dict[str, Any] = {"fisher_from": "labels", "normalise": normalise}
    made = Course(EWC(Coin(), **options), [coins(*TOSSES), coins(*TOSSES)], options=options)
    made.begin(1)
    made.finish()
    made.begin(2)
    costs = []
    for name in (A, C):
        weight = dict(made.strategy.trainable())[name]
        with torch.no_grad():
            weight.view(-1)[0] += 0.1
            costs.append(float(ewc(made).penalty()))
            weight.view(-1)[0] -= 0.1
    assert least < costs[1] / costs[0] <= most


def test_a_group_without_gradients_stays_without() -> None:
    made = course(IMG_CAP, fisher_from="labels")
    made.begin(1)
    scaled = ewc(made)._normalised({A: torch.zeros(3), C: torch.tensor([1.0, 3.0])})
    assert scaled[A].tolist() == [0, 0, 0]
    assert scaled[C].tolist() == [0.5, 1.5]
