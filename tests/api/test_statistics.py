"""Layer statistics of the toy backbone, against sums over examples alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.testing import ToyBackbone, toy_examples


@pytest.fixture
def backbone() -> ToyBackbone:
    made = ToyBackbone(dropout=0.5)
    made.adapters.add("main", seed=1)
    made.adapters.activate("main")
    made.module.train()
    return made


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_inputs_are_the_mean_over_real_tokens(batch_size: int, backbone: ToyBackbone) -> None:
    examples = toy_examples(["image", "audio"])
    read: list[Tensor] = []
    layer = backbone.layer_module("layers.0.query")
    hook = layer.register_forward_hook(lambda module, given, output: read.append(given[0][0].detach()))
    for example in examples:
        backbone.answer_logits(backbone.batch([example]))
    hook.remove()
    vectors = torch.cat(read)
    streamed = dict(backbone.layer_statistics(examples, "inputs", batch_size=batch_size))
    assert list(streamed) == [layer.name for layer in backbone.adaptable_layers]
    expected = vectors.T @ vectors / len(vectors)
    torch.testing.assert_close(streamed["layers.0.query"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_gradients_are_those_of_the_weights(batch_size: int, backbone: ToyBackbone) -> None:
    examples = toy_examples(["image", "audio"])
    streamed = dict(backbone.layer_statistics(examples, "gradients", batch_size=batch_size))
    assert backbone.module.training, "the mode comes back"
    backbone.module.eval()
    layers: list[Any] = [backbone.layer_module(name).requires_grad_() for name in streamed]
    torch.autograd.backward(backbone.loss(backbone.batch(examples)))
    for layer, matrix in zip(layers, streamed.values(), strict=True):
        torch.testing.assert_close(matrix, layer.weight.grad, atol=1e-5, rtol=1e-4)


def test_of_nothing_there_are_no_statistics(backbone: ToyBackbone) -> None:
    assert list(backbone.layer_statistics([], "gradients")) == []
