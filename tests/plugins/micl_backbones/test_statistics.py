"""Layer statistics, against plain hooks on each example alone and on dense weights."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from dense import Dense, Term
from helpers import KINDS, NAMES, Make, ready
from torch import Tensor, nn

from micl_backbones.language import LanguageBackbone
from micl_cli.api import AdapterSpec, Example, Mixture
from micl_cli.testing import toy_examples

BOTH = pytest.mark.parametrize("kind", KINDS)


def shown(backbone: LanguageBackbone) -> list[Example]:
    """Examples that would be packed and share what they begin with, with media and without."""
    examples = toy_examples(sorted(backbone.modalities))
    return [*examples, *(e.with_prompt("what else is there?", "nothing") for e in examples if e.media)]


@contextmanager
def recorded_inputs(backbone: LanguageBackbone) -> Iterator[dict[str, Tensor]]:
    """Collect the sums of x x^T of what each adaptable layer reads, and under "" the number of vectors."""
    found: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            (x,) = given[0]
            found[name] = found.get(name, torch.zeros(())) + sum(torch.outer(each, each) for each in x.double())

        return hook

    layers = [layer.name for layer in backbone.adaptable_layers]
    hooks = [backbone.layer_module(name).register_forward_hook(record(name)) for name in layers]
    try:
        yield found
    finally:
        for each in hooks:
            each.remove()


@torch.no_grad()
@BOTH
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_inputs_are_those_of_each_example_alone(batch_size: int, kind: str, make: Make) -> None:
    made = ready(make(kind), *NAMES)
    made.adapters.activate(["main", "other"])
    examples = shown(made)
    with recorded_inputs(made) as sums:
        tokens = 0
        for example in examples:
            batch = made.batch([example])
            made.answer_logits(batch)
            tokens += batch.labels.shape[1]
    streamed = dict(made.layer_statistics(examples, "inputs", batch_size=batch_size))
    assert list(streamed) == [layer.name for layer in made.adaptable_layers]
    for name, matrix in streamed.items():
        assert matrix.dtype == torch.float32
        torch.testing.assert_close(matrix, (sums[name] / tokens).float(), atol=1e-5, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_gradients_are_those_of_the_dense_weights(batch_size: int, kind: str, make: Make) -> None:
    made = ready(make(kind), *NAMES)
    made.adapters.activate({"main": 0.5, "other": 1.0})
    examples = shown(made)
    dense = Dense(made, make(kind))
    weights = {name: base.requires_grad_() for name, base in dense.base.items()}
    loss = dense.loss(examples, [[Term("main", 0.5), Term("other")]] * len(examples))
    expected = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    streamed = dict(made.layer_statistics(examples, "gradients", batch_size=batch_size))
    assert streamed.keys() == expected.keys()
    for name, matrix in streamed.items():
        torch.testing.assert_close(matrix, expected[name], atol=1e-5, rtol=1e-4)


@BOTH
@pytest.mark.parametrize("what", ["inputs", "gradients"])
def test_soft_prompts_and_mixtures_count_as_what_is_read(what: Any, kind: str, make: Make) -> None:
    made = ready(make(kind), *NAMES)
    made.adapters.add("soft", AdapterSpec("prompts", {"tokens": 3}, connectors=False))
    examples = shown(made)[:6]
    rows = torch.tensor([[1.0, 0.0, 1.0], [0.5, 0.5, 0.0]]).repeat(3, 1)
    names = [*NAMES, "soft"]
    made.adapters.activate(Mixture(names, rows))
    together = dict(made.layer_statistics(examples, what, batch_size=len(examples)))
    sums: dict[str, Tensor] = {}
    total = 0
    for example, row in zip(examples, rows, strict=True):
        made.adapters.activate(Mixture(names, row))
        batch = made.batch([example])
        count = batch.labels.shape[1] if what == "inputs" else len(batch.example_index)
        total += count
        for name, matrix in made.layer_statistics([example], what):
            sums[name] = sums.get(name, torch.zeros(())) + matrix * count
    for name, matrix in together.items():
        torch.testing.assert_close(matrix, sums[name] / total, atol=1e-5, rtol=1e-4)


@BOTH
@pytest.mark.parametrize("what", ["inputs", "gradients"])
def test_neither_dropout_nor_checkpointing_is_felt(what: Any, kind: str, make: Make) -> None:
    plain, learning = (ready(make(kind, lora_dropout=dropout)) for dropout in (0.0, 0.5))
    learning.enable_gradient_checkpointing()
    learning.module.train()
    examples = shown(plain)
    found = (dict(made.layer_statistics(examples, what)) for made in (plain, learning))
    first, second = found
    assert all(torch.equal(matrix, second[name]) for name, matrix in first.items())
    assert learning.module.training
    assert all(weight.grad is None for weight in learning.module.parameters())


def matrices(shape: tuple[int, ...]) -> int:
    """Return how many tensors of a shape are alive that are no parameters."""
    return sum(type(each) is Tensor and each.shape == shape for each in gc.get_objects())


@pytest.mark.parametrize("what", ["inputs", "gradients"])
def test_one_matrix_is_in_memory_at_a_time(what: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ready(make("hf"))
    shape = (64, 64)  # of q_proj and o_proj; the weights are parameters
    examples, alive = shown(made), list[int]()
    before = matrices(shape)
    passes = made.plain_passes

    def counted(own: list[Example]) -> Any:
        for each in passes(own):
            alive.append(matrices(shape) - before)
            yield each

    monkeypatch.setattr(made, "plain_passes", counted)
    layers = 0
    for name, matrix in made.layer_statistics(examples, what, batch_size=2):
        layers += tuple(matrix.shape) == shape
        if tuple(matrix.shape) == shape:
            assert matrices(shape) - before == 1, name
        del matrix
    assert layers > 2 and len(alive) > 2 * layers
    assert max(alive) == 1, "another layer's matrix is alive"


def test_of_nothing_there_are_no_statistics(make: Make) -> None:
    made = ready(make("composed"))
    assert list(made.layer_statistics([], "inputs")) == []
