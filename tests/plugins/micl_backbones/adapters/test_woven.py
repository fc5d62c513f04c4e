"""Adapter-in-adapter, against the formula written out for each token and each pair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from helpers import KINDS, Make, disturb, ready
from torch import Tensor, nn

from micl_backbones.adapters.woven import Woven, WovenPairs
from micl_backbones.language import LanguageBackbone
from micl_cli.api import AdapterSpec, Layer, Mixture, OptionError
from micl_cli.testing import toy_examples

BOTH = pytest.mark.parametrize("kind", KINDS)
SPEC = AdapterSpec("woven", {"earlier": 2, "rank": 3, "alpha": 6})


def formula(layer: WovenPairs, x: Tensor) -> Tensor:
    """Return what the pairs add for one vector: alpha / r (sum_i g_i B_i M_i A_i + g_new B A) x."""
    gates = torch.softmax(torch.stack([row @ x for row in layer.gate]), 0)
    total = gates[2] * (layer.B @ layer.A @ x)
    for i in range(2):
        total = total + gates[i] * (layer.earlier_B[i] @ layer.inner[i] @ layer.earlier_A[i] @ x)
    return 6 / 3 * total


def add_pairs(layer: WovenPairs, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    added = [formula(layer, x) for x in inputs[0].flatten(0, -2)]
    return output + torch.stack(added).view_as(output)


@contextmanager
def by_formula(backbone: LanguageBackbone) -> Iterator[None]:
    """Let hooks add the formula of "main" in each layer, beside an adapter that has its connectors only."""
    adapters = backbone.adapters
    adapters.activate("bare", learning=["main"])
    hooks = [
        backbone.layer_module(name).register_forward_hook(partial(add_pairs, layer))
        for name, layer in adapters.layer_adapters("main").items()
        if isinstance(layer, WovenPairs)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def woven(made: LanguageBackbone) -> LanguageBackbone:
    """Return a backbone with a woven adapter, and one with the same connectors and nothing else."""
    ready(made, "main", spec=SPEC)
    made.adapters.add("bare", AdapterSpec("connectors"))
    weights = made.adapters.state("main")
    made.adapters.load("bare", {name: weights[name] for name in made.adapters.state("bare")})
    made.adapters.activate("main")
    return made


@BOTH
def test_logits_and_gradients_are_those_of_the_formula(kind: str, make: Make) -> None:
    made = woven(make(kind))
    examples = toy_examples(sorted(made.modalities))
    weights = {n: w for n, w in made.adapters.trainable(set()).items() if n.startswith("main/layers.")}
    learnt = [weight for name, weight in weights.items() if not name.endswith(".noise")]
    assert {name.rpartition(".")[2] for name in weights} == {"A", "B", "inner", "gate", "noise"}
    made.adapters.activate("main")
    logits, labels = made.answer_logits(made.batch(examples))
    ours = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), learnt)
    with by_formula(made):
        expected, _ = made.answer_logits(made.batch(examples))
        theirs = torch.autograd.grad(nn.functional.cross_entropy(expected, labels), learnt)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@BOTH
def test_earlier_pairs_are_saved_and_never_trained(kind: str, make: Make) -> None:
    made = woven(make(kind))
    made.module.train()
    made.loss(made.batch(toy_examples(sorted(made.modalities)))).backward()
    weights = made.adapters.parameters("main")
    frozen = {name for name in weights if ".earlier_" in name}
    assert len(frozen) == 2 * len(made.adapters.layer_adapters("main"))
    assert not any(weights[name].requires_grad or weights[name].grad is not None for name in frozen)
    assert {f"main/{n}" for n in weights.keys() - frozen} == set(made.adapters.trainable(made.modalities))
    assert all(w.grad is not None for name, w in weights.items() if name not in frozen and name.startswith("layers."))
    state = made.adapters.state("main")
    assert frozen <= state.keys()
    made.adapters.add("copy", SPEC, seed=9)
    made.adapters.load("copy", state)
    batch = made.batch(toy_examples(sorted(made.modalities)))
    with made.adapters.using("main"):
        expected = made.answer_logits(batch)[0]
    with made.adapters.using("copy"):
        assert torch.equal(made.answer_logits(batch)[0], expected)


@BOTH
def test_examples_of_a_batch_use_paths_of_their_own(kind: str, make: Make) -> None:
    """One path is plain LoRA, which peft may compute, and one is woven."""
    made = woven(make(kind))
    made.adapters.add("plain", AdapterSpec("lora", {"rank": 3, "alpha": 6}), seed=5)
    disturb(made, "plain", seed=6)
    examples = toy_examples(sorted(made.modalities))
    names = ["plain" if row % 2 else "main" for row in range(len(examples))]
    one_hot = torch.tensor([[float(name == own) for name in ("plain", "main")] for own in names])
    with made.adapters.using(Mixture(["plain", "main"], one_hot)):
        together = made.generate(examples, max_new_tokens=6)
    alone = []
    for example, name in zip(examples, names, strict=True):
        with made.adapters.using(name):
            alone += made.generate([example], max_new_tokens=6)
    assert together == alone


def layer_of(**options: Any) -> WovenPairs:
    layer = Woven(**options).layer(Layer("layers.0.q_proj", 5, 4))
    assert isinstance(layer, WovenPairs)
    return layer


def test_a_new_one_adds_the_mean_of_the_pairs_that_are_copied_into_it() -> None:
    layer, x = layer_of(earlier=2, rank=3, alpha=6), torch.randn(7, 5)
    assert not layer(x, None).any()  # type: ignore[arg-type]
    assert layer.low_rank() is None
    with torch.no_grad():
        nn.init.normal_(layer.earlier_A)
        nn.init.normal_(layer.earlier_B)
        expected = sum(x @ a.T @ b.T for a, b in zip(layer.earlier_A, layer.earlier_B, strict=True)) * 2 / 3
        layer.eval()
        torch.testing.assert_close(layer(x, None), expected, atol=1e-5, rtol=1e-5)  # type: ignore[arg-type]


def test_gates_are_noisy_in_training_only() -> None:
    layer, x = layer_of(earlier=1, rank=3), torch.randn(200, 5)
    layer.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gates = layer.gates(x)
        torch.manual_seed(0)
        noise = torch.randn(200, 2)
    expected = torch.softmax(noise * torch.log(torch.tensor(2.0)), -1)  # softplus(0) = log 2
    torch.testing.assert_close(gates, expected)
    layer.eval()
    torch.testing.assert_close(layer.gates(x), torch.full((200, 2), 0.5))


def test_ranks_differ_by_layer_as_for_plain_lora() -> None:
    kind = Woven(earlier=1, rank=4, ranks="q_proj=2,k_proj=0")
    layers = [Layer(f"layers.0.{name}", 5, 4) for name in ("q_proj", "k_proj", "v_proj")]
    kind.check(layers)
    assert [made and made.inner.shape[-1] for made in map(kind.layer, layers)] == [2, None, 4]  # type: ignore[union-attr]


def test_a_matrix_inside_the_new_pair_is_refused() -> None:
    with pytest.raises(OptionError, match="inner has no effect"):
        Woven(inner="matrix")


@BOTH
def test_connectors_alone_change_no_layer(kind: str, make: Make) -> None:
    made = make(kind)
    ready(made, "main", spec=AdapterSpec("connectors"))
    made.adapters.add("fresh", AdapterSpec("lora", connectors=False), seed=3)
    batch = made.batch(toy_examples([]))
    with made.adapters.using(None):
        expected = made.answer_logits(batch)[0]
    with made.adapters.using("main"):
        assert torch.equal(made.answer_logits(batch)[0], expected)
    examples = toy_examples(sorted(made.modalities))
    with made.adapters.using(["main", "fresh"]):
        both = made.answer_logits(made.batch(examples))[0]
    with made.adapters.using("main"):
        torch.testing.assert_close(made.answer_logits(made.batch(examples))[0], both, atol=1e-5, rtol=1e-5)
    assert {made.adapters.group(name) for name in made.adapters.parameters("main")} <= {
        f"connector/{modality}" for modality in made.modalities
    }
