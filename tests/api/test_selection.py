"""Selections: what they mean, before any model is there."""

from __future__ import annotations

import pytest
import torch

from micl_cli.api import Mixture, Selection, TokenMap, combine
from micl_cli.api.selection import as_mixtures, layer_index


def meaning(selection: Selection) -> list[tuple[list[str], list[float]]]:
    return [(list(mixture.names), mixture.weights.tolist()) for mixture in as_mixtures(selection)]


def test_every_form_is_a_sum_of_mixtures() -> None:
    assert meaning(None) == []
    assert meaning("a") == [(["a"], [1.0])]
    assert meaning(["a", "b"]) == [(["a"], [1.0]), (["b"], [1.0])]
    assert meaning({"a": 0.5, "b": 2.0}) == [(["a", "b"], [0.5, 2.0])]
    mixture = Mixture(["a"], torch.ones(1))
    assert as_mixtures(["b", mixture])[1] is mixture


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (1, 2, 2)])
def test_weights_must_fit_the_names(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit 2 adapters"):
        Mixture(["a", "b"], torch.ones(shape))


def test_where_a_mixture_acts() -> None:
    names = ["model.layers.0.q_proj", "model.layers.3.q_proj", "model.layers.3.v_proj", "head"]
    weights = torch.ones(1)
    acts = {
        "all": [Mixture(["a"], weights).applies_to(name) for name in names],
        "range": [Mixture(["a"], weights, layers=range(2, 5)).applies_to(name) for name in names],
        "predicate": [Mixture(["a"], weights, layers=lambda name: "q_proj" in name).applies_to(name) for name in names],
    }
    assert acts == {
        "all": [True] * 4,
        "range": [False, True, True, False],
        "predicate": [True, True, False, False],
    }
    assert [layer_index(name) for name in names] == [0, 3, 3, None]


def test_connectors_follow_mixtures_that_act_in_layer_0() -> None:
    names = ["model.layers.0.q_proj", "model.layers.1.q_proj", "model.layers.1.v_proj"]
    cases = {None: True, (0, 1): True, (1,): False, (lambda name: "q_proj" in name): True}
    cases[lambda name: "v_proj" in name] = False
    for layers, expected in cases.items():
        assert Mixture(["a"], torch.ones(1), layers=layers).applies_to_inputs(names) == expected


def test_combine_gives_each_example_its_own() -> None:
    chosen = combine(["a", None, ["a", "b"], {"b": 0.25}, ["b", "b"]])
    assert isinstance(chosen, Mixture)
    assert list(chosen.names) == ["a", "b"]
    assert chosen.weights.tolist() == [[1, 0], [0, 0], [1, 1], [0, 0.25], [0, 2]]


def test_combine_keeps_what_all_have() -> None:
    assert combine(["a", "a"]) == "a"
    assert combine([None, None]) is None
    assert combine([]) is None
    mixture = Mixture(["a"], torch.ones(1))
    assert combine([mixture, mixture]) is mixture
    with pytest.raises(ValueError, match="applies to a whole batch"):
        combine([mixture, "a"])


def test_examples_with_equal_weights_are_read_alike_unless_these_learn() -> None:
    weights = torch.tensor([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    keys = [Mixture(["a", "b"], weights).key(row) for row in range(3)]
    assert keys[0] == keys[1] != keys[2]
    learnt = Mixture(["a", "b"], weights.clone().requires_grad_())
    assert learnt.key(0) != learnt.key(1)
    with torch.no_grad():
        assert learnt.key(0) == learnt.key(1)
    gates = Mixture(["a"], torch.ones(1), gates={"a": torch.eye(2)})
    assert (gates.size, gates.per_example, gates.key(0) == gates.key(1)) == (2, True, False)


def test_tables_are_read_by_position() -> None:
    table = torch.tensor([[1.0], [2.0]])
    packed = TokenMap(torch.tensor([[0, 0, 1], [1, 1, 1]]), 2)
    assert packed.per_example(table, torch.zeros(2, 3, 5))[..., 0].tolist() == [[1, 1, 2], [2, 2, 2]]
    assert packed.per_example(table, torch.zeros(6, 5))[..., 0].tolist() == [1, 1, 2, 2, 2, 2]
    rows = TokenMap(torch.tensor([[1], [0]]), 2)
    assert rows.per_example(table, torch.zeros(4, 3, 5))[:, 0, 0].tolist() == [2, 2, 1, 1], "beams are neighbours"


def test_means_are_over_prompts_and_remembered() -> None:
    prompt = torch.tensor([[True, True, False], [False, True, False]])
    tokens = TokenMap(torch.tensor([[0], [1]]), 2, prompt)
    x = torch.arange(6.0).view(2, 3, 1)
    layer, other = object(), object()
    assert tokens.prompt_mean(layer, x).tolist() == [[0.5], [4.0]]
    assert tokens.prompt_mean(layer, x.repeat_interleave(2, 0)).tolist() == [[0.5], [4.0]], "beams begin alike"
    following = tokens.following(torch.tensor([1]))
    assert following.prompt_mean(layer, torch.zeros(1, 1, 1)).tolist() == [[0.5], [4.0]]
    with pytest.raises(KeyError):
        following.prompt_mean(other, torch.zeros(1, 1, 1))
