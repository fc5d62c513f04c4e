from __future__ import annotations

from typing import cast

import pytest
import torch

from micl_backbones.composed.connector import Standardizer, Standardizers


def drawn() -> torch.Tensor:
    """Tokens of which one channel is large whatever is heard, and one is always the same."""
    torch.manual_seed(0)
    tokens = torch.randn(20, 5, 4)
    return tokens * torch.tensor([1.0, 0.5, 2.0, 0.0]) + torch.tensor([0.0, 1.0, 300.0, -7.0])


def test_what_is_fitted_has_no_large_channel_any_more() -> None:
    standard, tokens = Standardizer(4), drawn()
    assert not standard.fitted
    assert torch.equal(standard(tokens), tokens), "unfitted it changes nothing"
    standard.fit(tokens)
    assert standard.fitted
    made = standard(tokens)
    torch.testing.assert_close(made.mean((0, 1)), torch.zeros(4), atol=1e-4, rtol=0)
    assert made.std((0, 1)).tolist() == pytest.approx([1.0, 0.7, 1.0, 0.0], abs=0.35)
    assert made.abs().max() < 10


def test_a_channel_that_hardly_varies_is_not_blown_up() -> None:
    standard, tokens = Standardizer(4), drawn()
    standard.fit(tokens)
    tokens[..., 3] += 0.01
    assert standard(tokens)[..., 3].abs().max() < 0.05


def test_it_never_learns() -> None:
    assert not any(weight.requires_grad for weight in Standardizer(4).parameters())


def test_what_later_stages_fitted_can_be_forgotten() -> None:
    standardizers = Standardizers({"image": Standardizer(3), "audio": Standardizer(3)})
    cast(Standardizer, standardizers["image"]).fit(torch.randn(8, 2, 3) + 4)
    early = standardizers.state()
    cast(Standardizer, standardizers["audio"]).fit(torch.randn(8, 2, 3) + 4)
    standardizers.reset()
    assert [name for name, _ in standardizers.unfitted()] == ["image", "audio"]
    assert standardizers.load_unfitted({**early, "other": torch.ones(1)}).keys() == {"other"}
    assert [name for name, _ in standardizers.unfitted()] == ["audio"]
