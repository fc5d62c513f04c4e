from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from micl_cli.api import Batch, Example, Strategy, answer_loss
from micl_cli.errors import MiclError
from micl_cli.training.state import StageState
from micl_cli.training.step import accumulate_gradients, loss_and_terms, split_step, train_step


@pytest.fixture
def opened(make_components: Any) -> Any:
    """Open the first stage of toy components: ``opened(batch_size=2)``."""

    def make(**training: Any) -> StageState:
        components = make_components(**training)
        state = StageState(components, components.enter(1))
        components.strategy.begin(state.stage)
        state.open()
        return state

    return make


def test_terms_are_summed_and_reported_by_name() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    total, terms = loss_and_terms({"answers": weight * 3, "penalty": weight * 0.5})
    total.backward()
    assert float(total.detach()) == 7.0
    assert {name: float(term.detach()) for name, term in terms.items()} == {"answers": 6.0, "penalty": 1.0}
    assert float(weight.grad or 0) == 3.5
    assert loss_and_terms(weight)[1] == {}


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (torch.ones(2, requires_grad=True), "shape"),
        (torch.tensor(1.0), "does not depend on any trainable weight"),
        ({"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, "does not depend on any trainable weight"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_refused(loss: Any, message: str) -> None:
    with pytest.raises(MiclError, match=message) as refused:
        loss_and_terms(loss)
    assert refused.value.hint


def test_batches_of_a_step_weigh_by_their_answer_tokens(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five examples in batches of four, whose answers have 3 tokens each, or 9 in the case of the fifth."""
    state = opened(batch_size=4, accumulation=2)
    strategy, sizes = state.components.strategy, []
    examples = [e.with_answer("ab" if i < 4 else "abcdefgh") for i, e in enumerate(state.examples[:5])]
    monkeypatch.setattr(state, "next_examples", lambda: list(examples))

    def loss(batch: Any) -> dict[str, Tensor]:
        sizes.append(len(batch))
        return {"loss": strategy.backbone.loss(batch) * 0 + len(batch)}

    monkeypatch.setattr(strategy, "loss", loss)
    step = train_step(state.components, state)
    assert sizes == [4, 1]
    assert step.loss == pytest.approx(12 / 21 * 4 + 9 / 21 * 1)
    assert step.terms == pytest.approx({"loss": step.loss})
    assert (step.position, step.step, step.epoch, state.examples_seen) == (1, 1, 1, 5)


def gradients(state: StageState, batch_size: int, examples: Any) -> tuple[float, dict[str, float], list[Tensor]]:
    """The loss, its terms, and the gradients of one step in batches of a size."""
    state.components.plan.training.__dict__["batch_size"] = batch_size
    state.stage.rng.seed(0)
    loss, terms = accumulate_gradients(state.components, examples)
    weights = [weight for _, weight in state.components.strategy.trainable() if weight.grad is not None]
    found = [weight.grad.clone() for weight in weights if weight.grad is not None]
    for weight in weights:
        weight.grad = None
    return loss, terms, found


class GroupTerms(Strategy):
    """A third party's: adds drawn examples as a group, with a mean over it, one over examples, and a penalty."""

    def step_examples(self, examples: Sequence[Example]) -> Mapping[str, Sequence[Example]]:
        pool = list(super().examples(self.stage))
        return {"new": examples, "old": [e.with_answer(e.id * 3) for e in self.stage.rng.sample(pool, 3)]}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        logits, labels = self.backbone.answer_logits(batch)
        old, first = batch.positions("old"), next(weight for _, weight in self.trainable())
        each = logits.new_zeros(len(batch)).index_add(0, batch.example_index, logits.logsumexp(1))
        return {
            "new": answer_loss(logits[~old], labels[~old]),
            "old": 2 * answer_loss(logits[old], labels[old]),
            "each": each.mean(),
            "penalty": first.square().sum() + 3,
        }

    def population(self, term: str, batch: Batch) -> int:
        if term == "each":
            return len(batch)
        return int(batch.positions(term).sum()) if term in batch.groups else super().population(term, batch)


class OwnBatch(Strategy):
    """A third party's that adds examples in ``batch``."""

    def batch(self, examples: Sequence[Example]) -> Batch:
        pool = list(super().examples(self.stage))
        return self.backbone.batch([*examples, *self.stage.rng.sample(pool, 3)])


@pytest.mark.parametrize("strategy", [GroupTerms, OwnBatch])
def test_loss_and_gradient_are_the_same_for_all_splits(opened: Any, strategy: type[Strategy]) -> None:
    state = opened(batch_size=8)
    state.components.strategy = strategy(state.components.backbone)
    state.components.strategy.enter(state.stage, {})
    answers = ["a", "a much longer answer than the others", "bc", "", "four", "x", "yes", "a red circle"]
    examples = [e.with_answer(text) for e, text in zip(state.examples, answers, strict=False)]
    loss, terms, whole = gradients(state, 8, examples)
    for batch_size in (5, 4, 2, 1):
        other_loss, other_terms, other = gradients(state, batch_size, examples)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert other_terms == pytest.approx(terms, rel=1e-5)
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(whole, other, strict=True))


@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(0, 20), max_size=4))
def test_each_example_of_a_step_is_in_one_batch(drawn: int, batch_size: int, added: list[int]) -> None:
    class Parts:
        def batch(self, examples: Any, groups: Any) -> Any:
            return list(examples), {name: [examples[i] for i in own] for name, own in groups.items()}

    step = {"new": range(drawn)} | {f"{n}": range(100 * n, 100 * n + size) for n, size in enumerate(added, 1)}
    strategy: Any = Strategy(Parts())  # type: ignore[arg-type]
    strategy.step_examples = lambda examples: step
    batches: Any = split_step(strategy, range(drawn), batch_size)  # type: ignore[arg-type]
    assert len(batches) == -(-drawn // batch_size)
    for name, members in step.items():
        own = [groups[name] for _, groups in batches]
        assert [each for part in own for each in part] == list(members)
        assert max(map(len, own)) <= -(-len(members) * batch_size // drawn)
    assert sum(len(examples) for examples, _ in batches) == sum(map(len, step.values()))


def test_the_order_of_a_step(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients are constrained before they are clipped and used, and gone when the step ends."""
    state, calls = opened(max_grad_norm=1.0), []
    strategy, accelerator = state.components.strategy, state.components.accelerator
    monkeypatch.setattr(strategy, "constrain", lambda: calls.append("constrain"))
    monkeypatch.setattr(accelerator, "clip_grad_norm_", lambda weights, norm: calls.append(f"clip {len(weights)}"))
    monkeypatch.setattr(strategy, "step_end", lambda step: calls.append(f"end {step}"))
    train_step(state.components, state)
    count = len(list(strategy.trainable()))
    assert calls == ["constrain", f"clip {count}", "end 1"]
    assert all(weight.grad is None for _, weight in strategy.trainable())
