"""LoRA: ranks and presence per layer, and what stands between A and B."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from dense import Dense, Term
from helpers import KINDS, Make, ready
from torch import Tensor

from micl_backbones.adapters.lora import Lora, LowRank
from micl_cli.api import AdapterSpec, Layer, LayerAdapter, OptionError
from micl_cli.testing import toy_examples

BOTH = pytest.mark.parametrize("kind", KINDS)


@BOTH
@pytest.mark.parametrize("inner", ["diagonal", "matrix"])
def test_what_stands_between_is_as_if_merged_into_b(inner: str, kind: str, make: Make) -> None:
    """B M A, in logits, in gradients, and in answers beside a plain adapter that adds nothing."""
    made = ready(make(kind), "main", spec=AdapterSpec("lora", {"rank": 3, "alpha": 6, "inner": inner}))
    made.adapters.add("fresh", AdapterSpec("lora", connectors=False))
    dense = Dense(made, make(kind), lambda name: effective(made.adapters.layer_adapters(name)))
    examples, weights = toy_examples(sorted(made.modalities)), list(made.adapters.parameters("main").values())
    terms = [[Term("main")]] * len(examples)
    logits, _ = made.answer_logits(made.batch(examples))
    torch.testing.assert_close(logits, dense.logits(examples, terms), atol=1e-5, rtol=1e-5)
    ours = torch.autograd.grad(made.loss(made.batch(examples)), weights)
    theirs = torch.autograd.grad(dense.loss(examples, terms), weights)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    with made.adapters.using(["main", "fresh"]):
        answers = made.generate(examples, max_new_tokens=6)
    with torch.no_grad():
        assert answers == dense.merge(terms[0]).generate(examples, max_new_tokens=6)


def effective(layers: Mapping[str, LayerAdapter]) -> dict[str, tuple[Tensor, Tensor, float]]:
    """Return (A, B M, scale) of each layer."""
    found = {}
    for name, layer in layers.items():
        assert isinstance(layer, LowRank) and layer.inner is not None
        middle = torch.diag(layer.inner) if layer.inner.ndim == 1 else layer.inner
        found[name] = (layer.A, layer.B @ middle, layer.scale)
    return found


@BOTH
def test_rank_and_presence_differ_by_layer(kind: str, make: Make) -> None:
    options = {"rank": 4, "layers": r"q_proj|v_proj", "ranks": r"\.1\..*q_proj=2, \.0\..*v_proj=0"}
    made = ready(make(kind), "main", spec=AdapterSpec("lora", options))
    ranks = {name.rpartition("layers.")[2]: len(a) for name, (a, _, _) in made.adapters.low_rank("main").items()}
    assert ranks == {"0.self_attn.q_proj": 4, "1.self_attn.q_proj": 2, "1.self_attn.v_proj": 4}
    scales = {scale for _, _, scale in made.adapters.low_rank("main").values()}
    assert scales == {4.0, 8.0}, "alpha / rank"
    dense, examples = Dense(made, make(kind)), toy_examples(sorted(made.modalities))
    with torch.no_grad():
        logits, _ = made.answer_logits(made.batch(examples))
        expected = dense.logits(examples, [[Term("main")]] * len(examples))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_a_fresh_inner_matrix_changes_nothing() -> None:
    for inner in ("none", "diagonal", "matrix"):
        layer = Lora(rank=3, inner=inner).layer(Layer("layers.0.q_proj", 5, 4))
        assert layer is not None
        assert not layer(torch.randn(2, 5), None).any()  # type: ignore[arg-type]
        assert (layer.low_rank() is None) == (inner != "none")


@pytest.mark.parametrize("ranks", ["q_proj", "q_proj=a", "=4,q_proj=-1"])
def test_ranks_that_cannot_be_read(ranks: str) -> None:
    with pytest.raises(OptionError, match="is not PATTERN=RANK"):
        Lora(ranks=ranks)


def test_states_of_other_shapes_are_refused(make: Make) -> None:
    made = ready(make("composed"))
    made.adapters.add("small", AdapterSpec("lora", {"layers": "q_proj"}))
    with pytest.raises(KeyError, match="do not match"):
        made.adapters.load("small", made.adapters.state("main"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "x_proj"}, "layers: no layer matches 'x_proj'"),
        ({"layers": "("}, "is not a regular expression"),
        ({"ranks": "(=3"}, "is not a regular expression"),
        ({"ranks": "x_proj=3"}, "'x_proj' is the first match of no adapted layer"),
        ({"layers": "q_proj", "ranks": "v_proj=3"}, "'v_proj' is the first match of no adapted layer"),
        ({"ranks": "proj=3,q_proj=4"}, "'q_proj' is the first match of no adapted layer"),
        ({"ranks": "q_proj=3,q_proj=4"}, "'q_proj' is given twice"),
        ({"ranks": "proj=0"}, "every layer has rank 0"),
    ],
)
def test_options_without_effect_are_refused(options: Mapping[str, str], message: str) -> None:
    names = ("layers.0.q_proj", "layers.0.v_proj")
    with pytest.raises(OptionError, match=message):
        Lora(**options).check([Layer(name, 4, 4) for name in names])


@BOTH
def test_an_adapter_that_matches_nothing_is_not_added(kind: str, make: Make) -> None:
    made = make(kind)
    with pytest.raises(OptionError, match="no layer matches"):
        made.adapters.add("main", AdapterSpec("lora", {"layers": "x_proj"}))
    assert not made.adapters.names
