"""Mixtures of LoRA experts, against loops over examples, tokens and experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from helpers import KINDS, Make, ready, resources
from torch import Tensor, nn

from micl_backbones.adapters.experts import Experts, TokenExperts
from micl_backbones.composed.named import Tiny
from micl_backbones.language import LanguageBackbone
from micl_cli.api import IGNORE_INDEX, AdapterSpec, Example, Layer, Mixture, OptionError
from micl_cli.testing import toy_examples

BOTH = pytest.mark.parametrize("kind", KINDS)
OPTIONS: dict[str, dict[str, Any]] = {
    "token": {"gate": "token"},
    "token-top": {"gate": "token", "top": 2},
    "mean": {"gate": "mean"},
    "mean-top": {"gate": "mean", "top": 1},
    "given": {"gate": "given"},
}
GATES = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, -1.0, 2.0], [0.1, 0.2, 0.3]])


def spec(gate: str, **more: Any) -> AdapterSpec:
    return AdapterSpec("experts", {"experts": 3, "rank": 6, "alpha": 12, **OPTIONS[gate], **more})


def shown(backbone: LanguageBackbone) -> list[Example]:
    """Return examples of different lengths, some with the same medium and prompts that differ."""
    examples = toy_examples(sorted(backbone.modalities))
    return [*examples, *(e.with_prompt("what else is there?", "nothing") for e in examples if e.media)]


def gates_for(count: int) -> Tensor:
    return GATES.repeat(count, 1)[:count]


def select(backbone: LanguageBackbone, gate: str, rows: list[int]) -> None:
    """Let "main" act; where its gates are given, by those of the examples ``rows``."""
    if gate != "given":
        backbone.adapters.activate("main")
        return
    given = {"main": gates_for(max(rows) + 1)[rows]}
    backbone.adapters.activate(Mixture(["main"], torch.ones(1), gates=given))


# The reference: each example alone, one token and one expert after another


def expert_output(layer: TokenExperts, gates: Tensor, x: Tensor) -> Tensor:
    """Return what the experts add for one vector."""
    size = layer.kind.rank // layer.kind.experts
    total = torch.zeros(len(layer.B))
    for e in range(layer.kind.experts):
        a, b = layer.A[e * size : (e + 1) * size], layer.B[:, e * size : (e + 1) * size]
        total = total + gates[e] * layer.kind.alpha / layer.kind.rank * (b @ (a @ x))
    return total


def gate_of(layer: TokenExperts, x: Tensor) -> Tensor:
    """Return softmax(G x), over the largest where fewer act."""
    logits = layer.gate @ x
    if layer.kind.top:
        kept = logits.argsort(descending=True)[: layer.kind.top]
        chosen = torch.full_like(logits, -torch.inf)
        chosen[kept] = logits[kept]
        logits = chosen
    return torch.softmax(logits, 0)


def add_experts(
    layer: TokenExperts, prompt: int, given: Tensor, module: nn.Module, inputs: tuple[Tensor], output: Tensor
) -> Tensor:
    """Add what experts do to the layer's output [1, L, out] of an example whose prompt has so many tokens."""
    (x,) = inputs[0]
    kind = layer.kind.gate
    mean = gate_of(layer, x[:prompt].mean(0)) if kind == "mean" else given
    added = [expert_output(layer, gate_of(layer, each) if kind == "token" else mean, each) for each in x]
    return output + torch.stack(added)


@contextmanager
def by_loops(backbone: LanguageBackbone, example: Example, given: Tensor) -> Iterator[None]:
    """Let hooks do what the adapter "main" does in the layers; its connectors act as they are."""
    backbone.adapters.activate(Mixture(["main"], torch.ones(1), layers=lambda name: False))
    prompt = int((backbone.batch([example]).labels[0] != IGNORE_INDEX).nonzero()[0])
    hooks = []
    for name, layer in backbone.adapters.layer_adapters("main").items():
        assert isinstance(layer, TokenExperts)
        hook = partial(add_experts, layer, prompt, given)
        hooks.append(backbone.layer_module(name).register_forward_hook(hook))
    connect = backbone.adapters.connect
    vars(backbone.adapters)["connect"] = partial(connect_main, backbone)
    try:
        yield
    finally:
        for each in hooks:
            each.remove()
        vars(backbone.adapters)["connect"] = connect


def connect_main(backbone: LanguageBackbone, modality: str, tokens: Tensor, examples: Any) -> Tensor:
    stores: Any = backbone.adapters.store
    return stores["@main"]["connectors"][modality](tokens)  # type: ignore[no-any-return]


def looped(backbone: LanguageBackbone, examples: list[Example]) -> Tensor:
    """Return the answer logits [N, V] of examples, one after another."""
    found = []
    for example, given in zip(examples, gates_for(len(examples)), strict=True):
        with by_loops(backbone, example, given):
            found.append(backbone.answer_logits(backbone.batch([example]))[0])
    return torch.cat(found)


@BOTH
@pytest.mark.parametrize("gate", OPTIONS)
def test_logits_and_gradients_are_those_of_loops(gate: str, kind: str, make: Make) -> None:
    made = ready(make(kind), "main", spec=spec(gate))
    examples = shown(made)[1:-1:2]
    select(made, gate, list(range(len(examples))))
    logits, labels = made.answer_logits(made.batch(examples))
    expected = looped(made, examples)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    weights = [w for n, w in made.adapters.parameters("main").items() if n.startswith("layers.")]
    for weight in weights:
        weight.requires_grad_()
    ours, theirs = (
        torch.autograd.grad(nn.functional.cross_entropy(each, labels), weights) for each in (logits, expected)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@BOTH
@pytest.mark.parametrize("gate", OPTIONS)
def test_answers_do_not_depend_on_the_batch(gate: str, kind: str, make: Make) -> None:
    made = ready(make(kind), "main", spec=spec(gate), scale=0.2)
    examples, choices = shown(made), ["yes", "no, it is not"]
    select(made, gate, list(range(len(examples))))
    together = [made.generate(examples, max_new_tokens=6, num_beams=beams) for beams in (1, 2)]
    scores = made.score_choices(examples, choices)
    alone: list[list[str]] = [[], []]
    for row, example in enumerate(examples):
        select(made, gate, [row])
        for beams in (1, 2):
            alone[beams - 1] += made.generate([example], max_new_tokens=6, num_beams=beams)
        torch.testing.assert_close(made.score_choices([example], choices)[0], scores[row], atol=5e-5, rtol=1e-4)
        totals = [likelihood(made, example.with_answer(choice)) for choice in choices]
        torch.testing.assert_close(scores[row], torch.log_softmax(torch.stack(totals), 0), atol=5e-5, rtol=1e-4)
    assert together == alone
    assert len(set(alone[0])) > len(examples) // 2


@torch.no_grad()
def likelihood(backbone: LanguageBackbone, example: Example) -> Tensor:
    logits, labels = backbone.answer_logits(backbone.batch([example]))
    return -nn.functional.cross_entropy(logits, labels, reduction="sum")


@torch.no_grad()
@pytest.mark.parametrize("gate", ["token", "mean"])
def test_each_token_of_an_answer_is_the_likeliest(gate: str) -> None:
    """What generation writes token by token is what one pass over prompt and answer finds likeliest."""
    made = ready(Tiny(resources=resources(), dtype="fp32"), "main", spec=spec(gate), scale=0.05)
    examples = shown(made)
    answers = dict(zip(examples, made.generate(examples, max_new_tokens=12), strict=True))
    words = [e.with_answer(text) for e, text in answers.items() if text.isascii() and len(text) < 20]
    logits, labels = made.answer_logits(made.batch(words))
    assert torch.equal(logits.argmax(-1), labels)
    assert len({example.target for example in words}) > 3 and len(labels) >= 2 * len(words)


@BOTH
def test_checkpointing_changes_no_gradient(kind: str, make: Make) -> None:
    for gate in ("token", "mean", "given"):
        found = []
        for checkpointed in (False, True):
            made = ready(make(kind), "main", spec=spec(gate))
            if checkpointed:
                made.enable_gradient_checkpointing()
            made.module.train()
            examples = shown(made)
            select(made, gate, list(range(len(examples))))
            loss = made.loss(made.batch(examples))
            found.append(torch.autograd.grad(loss, list(made.adapters.trainable(made.modalities).values())))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@BOTH
def test_given_gates_learn_and_are_alike_where_none_are_given(kind: str, make: Make) -> None:
    made = ready(make(kind), "main", spec=spec("given"))
    examples = shown(made)
    gates = gates_for(len(examples)).clone().requires_grad_()
    made.adapters.activate(Mixture(["main"], torch.ones(1), gates={"main": gates}), learning=())
    made.loss(made.batch(examples)).backward()
    assert gates.grad is not None and (gates.grad != 0).all()
    third = torch.full((len(examples), 3), 1 / 3)
    with torch.no_grad():
        made.adapters.activate("main")
        plain, _ = made.answer_logits(made.batch(examples))
        made.adapters.activate(Mixture(["main"], torch.ones(1), gates={"main": third}))
        torch.testing.assert_close(made.answer_logits(made.batch(examples))[0], plain, atol=1e-5, rtol=1e-5)


@BOTH
def test_the_gate_is_noisy_only_while_learning(kind: str, make: Make) -> None:
    made = ready(make(kind), "main", spec=spec("token", noisy=True))
    batch = made.batch(shown(made))
    logits: Callable[[], Tensor] = lambda: made.answer_logits(batch)[0]  # noqa: E731
    assert torch.equal(logits(), logits())
    made.module.train()
    assert not torch.equal(logits(), logits())
    made.loss(batch).backward()
    groups = {made.adapters.group(name) for name in made.adapters.trainable(set())}
    assert groups == {"lora", "gate"}
    noise = [w for n, w in made.adapters.parameters("main").items() if n.endswith("noise")]
    assert noise and all(weight.grad is not None and weight.grad.any() for weight in noise)
    with made.adapters.using("main"):
        assert torch.equal(logits(), logits())


def test_fresh_experts_change_nothing_and_experts_must_divide_the_rank() -> None:
    layer = Experts(experts=2, rank=4).layer(Layer("layers.0.q_proj", 5, 3))
    assert isinstance(layer, TokenExperts)
    assert layer.low_rank() is None and not layer.B.any()
    with pytest.raises(OptionError, match="3 experts cannot share rank 4"):
        Experts(experts=3, rank=4)


@pytest.mark.parametrize("options", [{"experts": 2, "top": 3}, {"gate": "given", "noisy": True}])
def test_options_without_effect_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Experts(**options)
