from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from micl_cli.api.adapter_kinds import AdapterSpec
from micl_cli.api.adapters import Adapters
from micl_cli.api.selection import Mixture
from micl_cli.api.strategy import Strategy
from micl_cli.errors import CheckpointError
from micl_cli.testing import ToyBackbone
from micl_cli.training.snapshot import (
    adapter_specs,
    adapter_weights,
    learning_weights,
    load_adapters,
    load_learning_weights,
    restore_snapshot,
    selection_as_json,
    take_snapshot,
)

EXPERTS = AdapterSpec("experts", {"experts": 2, "rank": 2}, connectors=False)


def stored(adapters: Adapters) -> tuple[dict[str, torch.Tensor], Any]:
    return adapter_weights(adapters, adapters.names), json.loads(json.dumps(adapter_specs(adapters)))


def test_a_backbone_gets_exactly_the_adapters_of_a_snapshot() -> None:
    """In their order, of their kinds, with their connectors or without."""
    first, second = ToyBackbone().adapters, ToyBackbone().adapters
    first.add("teacher", seed=1)
    first.add("main", EXPERTS, seed=2)
    second.add("stranger")
    second.add("main")
    second.activate(["stranger", "main"])
    weights, specs = stored(first)
    load_adapters(second, weights, specs)
    assert second.names == ("teacher", "main")
    assert [second.spec(name) for name in second.names] == [first.spec(name) for name in first.names]
    assert second.active is None
    found = adapter_weights(second, second.names)
    assert all(torch.equal(weight, found[name]) for name, weight in weights.items())
    assert found.keys() == weights.keys()


@pytest.mark.parametrize("name", ["main/layers.layers.0.query.A", "main/unknown"])
def test_weights_of_another_shape_or_name_are_refused(name: str) -> None:
    adapters = ToyBackbone().adapters
    adapters.add("main")
    weights, specs = stored(adapters)
    with pytest.raises(CheckpointError, match="does not fit the backbone"):
        load_adapters(adapters, {**weights, name: torch.zeros(1, 2, 3)}, specs)


def test_a_checkpoint_of_an_earlier_version_is_refused_with_the_way_out() -> None:
    adapters = ToyBackbone().adapters
    with pytest.raises(CheckpointError, match="earlier version of micl") as refused:
        load_adapters(adapters, {}, None)
    assert "new run" in refused.value.hint


@pytest.mark.parametrize("selection", [None, "main", ["main", "other"], {"main": 0.25, "other": 0.75}])
def test_a_selection_by_name_survives_json(selection: Any) -> None:
    assert json.loads(json.dumps(selection_as_json(selection))) == selection


def test_a_mixture_is_not_stored() -> None:
    mixture = Mixture(["main"], torch.ones(4, 1))
    assert selection_as_json(mixture) is None
    assert selection_as_json(["other", mixture]) is None


class Gated(Strategy):
    """Learns two adapters and a gate of its own."""

    def __init__(self, backbone: ToyBackbone) -> None:
        super().__init__(backbone)
        self.modules["gate"] = nn.Linear(2, 3)


def gated(seed: int) -> Gated:
    torch.manual_seed(seed)
    made = Gated(ToyBackbone())
    for name in ("main", "other", "frozen"):
        made.backbone.adapters.add(name, seed=seed)
    made.backbone.adapters.activate({"main": 0.5, "frozen": 0.5}, learning=["main", "other"])
    return made


def test_a_snapshot_holds_what_acts_what_learns_and_the_strategy_s_modules() -> None:
    first, second = gated(1), gated(2)
    snapshot = take_snapshot(first, step=3)
    assert snapshot.data["step"] == 3
    restore_snapshot(second, snapshot)
    assert second.backbone.adapters.active == {"main": 0.5, "frozen": 0.5}
    assert second.backbone.adapters.learning == ("main", "other")
    assert torch.equal(second.modules["gate"].weight, first.modules["gate"].weight)
    weights = [*snapshot.adapters.values(), *snapshot.modules.values()]
    assert snapshot.nbytes == sum(weight.nbytes for weight in weights)


def test_best_weights_are_of_all_that_learns_and_of_nothing_else() -> None:
    strategy = gated(1)
    best = learning_weights(strategy)
    assert {name.partition("/")[0] for name in best} == {"main", "other", "modules"}
    frozen = strategy.backbone.adapters.state("frozen")
    with torch.no_grad():
        for name in ("main", "other"):
            for weight in strategy.backbone.adapters.parameters(name).values():
                weight.zero_()
        strategy.modules["gate"].weight.zero_()
    load_learning_weights(strategy, best)
    again = learning_weights(strategy)
    assert all(torch.equal(again[name], weight) for name, weight in best.items())
    assert all(torch.equal(w, frozen[n]) for n, w in strategy.backbone.adapters.state("frozen").items())


def test_modules_that_do_not_fit_are_refused() -> None:
    snapshot, other = take_snapshot(gated(1)), gated(2)
    other.modules["gate"] = nn.Linear(2, 4)
    with pytest.raises(CheckpointError, match="does not fit the strategy"):
        restore_snapshot(other, snapshot)
