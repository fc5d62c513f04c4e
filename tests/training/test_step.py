from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.errors import MiclError
from micl_cli.training.state import StageState
from micl_cli.training.step import loss_and_terms, train_step


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


def test_batches_of_a_step_weigh_by_their_examples(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five examples in batches of four: the loss of the fifth counts a fifth."""
    state = opened(batch_size=4, accumulation=2)
    strategy, sizes = state.components.strategy, []
    examples = state.examples[:5]
    monkeypatch.setattr(state, "next_examples", lambda: list(examples))

    def loss(batch: Any) -> dict[str, Tensor]:
        sizes.append(len(batch))
        return {"size": strategy.backbone.loss(batch) * 0 + len(batch)}

    monkeypatch.setattr(strategy, "loss", loss)
    step = train_step(state.components, state)
    assert sizes == [4, 1]
    assert step.loss == pytest.approx(0.8 * 4 + 0.2 * 1)
    assert step.terms == pytest.approx({"size": step.loss})
    assert (step.position, step.step, step.epoch, state.examples_seen) == (1, 1, 1, 5)


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
