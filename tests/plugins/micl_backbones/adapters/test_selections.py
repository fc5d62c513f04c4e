"""Selections of adapters, against dense weights that their weighted sum is merged into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from dense import Dense, Term
from helpers import KINDS, NAMES, Make, ready, resources
from torch import Tensor, nn

from micl_backbones.composed.named import Tiny
from micl_backbones.language import LanguageBackbone
from micl_cli.api import AdapterSpec, Example, Mixture, Selection
from micl_cli.testing import toy_examples

Terms = Sequence[Sequence[Term]]
"""The terms of each example."""
Case = Callable[[int], tuple[Selection, Terms]]


def weights(count: int) -> Tensor:
    """Return weights [count, 2] of all sorts."""
    rows = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.75, -0.25]])
    return rows.repeat(count, 1)[:count].contiguous()


def first(name: str) -> bool:
    return ".0." in name


def last(name: str) -> bool:
    return ".1." in name


def values(name: str) -> bool:
    return name.endswith("v_proj")


def one(count: int) -> tuple[Selection, Terms]:
    return "main", [[Term("main")]] * count


def total(count: int) -> tuple[Selection, Terms]:
    return ["main", "other"], [[Term("main"), Term("other")]] * count


def twice(count: int) -> tuple[Selection, Terms]:
    return ["main", "main"], [[Term("main", 2.0)]] * count


def weighted(count: int) -> tuple[Selection, Terms]:
    return {"main": 0.3, "other": -1.2}, [[Term("main", 0.3), Term("other", -1.2)]] * count


def for_all(count: int) -> tuple[Selection, Terms]:
    return Mixture(NAMES, torch.tensor([0.3, 0.6])), [[Term("main", 0.3), Term("other", 0.6)]] * count


def for_each(count: int) -> tuple[Selection, Terms]:
    table = weights(count)
    return Mixture(NAMES, table), [[Term(n, w) for n, w in zip(NAMES, row, strict=True)] for row in table]


def by_index(count: int) -> tuple[Selection, Terms]:
    """One adapter for each example in the first layer, both in the last."""
    table = weights(count)
    shared = Mixture(NAMES, torch.tensor([0.5, 1.5]), layers=[1])
    lower = [[Term(n, w, first) for n, w in zip(NAMES, row, strict=True)] for row in table]
    upper = [Term("main", 0.5, last, False), Term("other", 1.5, last, False)]
    return [Mixture(NAMES, table, layers={0}), shared], [[*own, *upper] for own in lower]


def by_predicate(count: int) -> tuple[Selection, Terms]:
    table = weights(count)
    chosen = [[Term(n, w, values) for n, w in zip(NAMES, row, strict=True)] for row in table]
    return ["main", Mixture(NAMES, table, layers=values)], [[Term("main"), *own] for own in chosen]


CASES: list[Case] = [one, total, twice, weighted, for_all, for_each, by_index, by_predicate]


@pytest.fixture(scope="module", params=KINDS)
def fresh(request: pytest.FixtureRequest, make: Make) -> Callable[[], LanguageBackbone]:
    """Makes fresh backbones of one kind."""
    return lambda: make(request.param)


@pytest.fixture(scope="module")
def backbone(fresh: Callable[[], LanguageBackbone]) -> LanguageBackbone:
    """A backbone with two adapters that differ; not to be changed but in who acts."""
    return ready(fresh(), *NAMES)


@pytest.fixture(scope="module")
def dense(fresh: Callable[[], LanguageBackbone], backbone: LanguageBackbone) -> Dense:
    return Dense(backbone, fresh())


@pytest.fixture(scope="module")
def examples(backbone: LanguageBackbone) -> list[Example]:
    """Examples with media and without, several on one medium: they are packed, and share what they begin with."""
    shown = toy_examples(sorted(backbone.modalities))
    others = [e.with_prompt("what else is there to see or hear?", "nothing") for e in shown if e.media]
    return [*shown, *others, *shown[:2]]


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_merged_weights(
    case: Case, backbone: LanguageBackbone, dense: Dense, examples: list[Example]
) -> None:
    selection, terms = case(len(examples))
    backbone.adapters.activate(selection)
    logits, _ = backbone.answer_logits(backbone.batch(examples))
    expected = dense.logits(examples, terms)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("beams", [1, 2])
def test_answers_are_those_of_merged_weights(
    beams: int, case: Case, backbone: LanguageBackbone, dense: Dense, examples: list[Example]
) -> None:
    selection, terms = case(len(examples))
    search = {"max_new_tokens": 6, "num_beams": beams}
    with backbone.adapters.using(selection):
        answers = backbone.generate(examples, **search)
    alone = [dense.merge(own).generate([e], **search)[0] for e, own in zip(examples, terms, strict=True)]
    assert answers == alone
    assert len(set(alone)) > len(examples) // 2


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_choices_are_scored_as_by_merged_weights(
    case: Case, backbone: LanguageBackbone, dense: Dense, examples: list[Example]
) -> None:
    selection, terms = case(len(examples))
    choices = ["yes", "no, it is not", "a blue box"]
    with backbone.adapters.using(selection):
        scores = backbone.score_choices(examples, choices)
    alone = [dense.merge(own).score_choices([e], choices)[0] for e, own in zip(examples, terms, strict=True)]
    torch.testing.assert_close(scores, torch.stack(alone), atol=5e-5, rtol=1e-5)  # sums over up to 13 tokens


def gradients(loss: Tensor, backbone: LanguageBackbone, *more: Tensor) -> list[Tensor]:
    """Return the gradients of a loss by the weights of both adapters, and by ``more``."""
    weights = [weight for name in NAMES for weight in backbone.adapters.parameters(name).values()]
    found = torch.autograd.grad(loss, [*weights, *more], allow_unused=True)
    return [torch.zeros(()) if gradient is None else gradient for gradient in found]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_gradients_are_those_of_merged_weights(
    checkpointed: bool,
    fresh: Callable[[], LanguageBackbone],
    backbone: LanguageBackbone,
    dense: Dense,
    examples: list[Example],
) -> None:
    """By A and B of both adapters, by the connectors, and by the weights of the mixture."""
    tested = backbone
    if checkpointed:
        tested = ready(fresh(), *NAMES)
        tested.enable_gradient_checkpointing()
        tested.module.train()
    table = weights(len(examples)).requires_grad_()
    tested.adapters.activate([Mixture(NAMES, table, layers=[0]), Mixture(NAMES, table, layers=last)], learning=NAMES)
    ours = gradients(tested.loss(tested.batch(examples)), tested, table)
    backbone.adapters.activate(None, learning=NAMES)
    terms = [[Term(n, w) for n, w in zip(NAMES, row, strict=True)] for row in table]
    theirs = gradients(dense.loss(examples, terms), backbone, table)
    assert ours[-1].abs().min() > 0
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_medium_that_no_adapter_reads_is_refused(make: Make) -> None:
    made = ready(make("composed"), *NAMES)
    examples = toy_examples(["image"])
    made.adapters.activate(Mixture(NAMES, torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])))
    with pytest.raises(ValueError, match="has a connector for image"):
        made.loss(made.batch(examples))


def test_a_mixture_holds_for_batches_of_its_size(backbone: LanguageBackbone, examples: list[Example]) -> None:
    backbone.adapters.activate(Mixture(NAMES, weights(3)))
    with pytest.raises(ValueError, match="for 3 examples, not for 2"):
        backbone.loss(backbone.batch(examples[:2]))
    backbone.adapters.activate("main")


# Few bits: the same quantised base, with one adapter whose matrices are stacked


def few_bits(kind: str, quantize: Any, make: Make) -> LanguageBackbone:
    """Return a quantised backbone; the random parts are too narrow for 4 bits."""
    if kind == "composed":
        return Tiny(resources=resources(), quantize=quantize, dtype="fp32")
    return make(kind, quantize=quantize)


class SummedConnectors(nn.Module):
    """The weighted sum of what connectors put out."""

    def __init__(self, connectors: Sequence[nn.Module], row: Sequence[float]) -> None:
        super().__init__()
        self.connectors, self.row = nn.ModuleList(connectors), row

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.stack([w * each(tokens) for w, each in zip(self.row, self.connectors, strict=True)]).sum(0)


@torch.no_grad()
def stack(backbone: LanguageBackbone, row: Sequence[float]) -> None:
    """Add the adapter "sum", whose A are those of both adapters and whose B are theirs, scaled, side by side."""
    adapters, stores = backbone.adapters, cast(Any, backbone.adapters.store)
    rank = sum(int(adapters.spec(name).options["rank"]) for name in NAMES)
    adapters.add("sum", AdapterSpec("lora", {"rank": rank, "alpha": rank}))
    members = [adapters.low_rank(name) for name in NAMES]
    for layer, (a, b, _) in adapters.low_rank("sum").items():
        a.copy_(torch.cat([member[layer][0] for member in members]))
        b.copy_(torch.cat([w * m[layer][2] * m[layer][1] for w, m in zip(row, members, strict=True)], dim=1))
    for modality in stores["@sum"]["connectors"]:
        own = [stores[f"@{name}"]["connectors"][modality] for name in NAMES]
        stores["@sum"]["connectors"][modality] = SummedConnectors(own, row)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("quantize", "tolerance"), [("nf4", 1e-5), ("int8", 2e-2)])
def test_sums_on_few_bits_are_those_of_one_stacked_adapter(
    quantize: str, tolerance: float, kind: str, make: Make
) -> None:
    """int8 rounds what each layer reads, so that a rounding error of float32 can become one of 1/127."""
    made = ready(few_bits(kind, quantize, make), *NAMES, scale=0.05)
    examples = toy_examples(sorted(made.modalities))
    for row in ([1.0, 1.0], [0.3, -1.2]):
        stack(made, row)
        with made.adapters.using("sum"):
            expected = made.answer_logits(made.batch(examples))[0]
        table = torch.tensor([row] * len(examples))
        for selection in (dict(zip(NAMES, row, strict=True)), Mixture(NAMES, table)):
            with made.adapters.using(selection):
                logits = made.answer_logits(made.batch(examples))[0]
            torch.testing.assert_close(logits, expected, atol=tolerance * float(expected.abs().max()), rtol=0)
        made.adapters.remove("sum")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantize", ["nf4", "int8"])
def test_checkpointing_changes_no_gradient_of_a_mixture_on_few_bits(quantize: str, kind: str, make: Make) -> None:
    found = []
    for checkpointed in (False, True):
        made = ready(few_bits(kind, quantize, make), *NAMES, scale=0.05)
        examples = toy_examples(sorted(made.modalities))
        if checkpointed:
            made.enable_gradient_checkpointing()
        made.module.train()
        table = weights(len(examples)).requires_grad_()
        made.adapters.activate(Mixture(NAMES, table), learning=NAMES)
        found.append(gradients(made.loss(made.batch(examples)), made, table))
    assert found[0][-1].abs().min() > 0
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
