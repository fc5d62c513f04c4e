"""Adapters that peft holds, in layers of any kind: alone, mixed in one batch, added and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import NAMES, resources
from torch import Tensor, nn

from micl_backbones.adapters.peft import PeftAdapters
from micl_cli.api import AdapterHost, AdapterSpec, Layer, Mixture


class Flattening(nn.Module):
    """A layer that is given rows, and one that is given their vectors behind one another, as experts are."""

    prepare_inputs_for_generation = None  # peft asks every language model for it

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.flat = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.flat(self.plain(x).flatten(0, 1)).unflatten(0, x.shape[:2])
        return made


class Host(AdapterHost):
    """A model of two layers with two adapters."""

    def __init__(self, dropout: float = 0.0) -> None:
        torch.manual_seed(0)
        self.model = Flattening()
        self.adapters = PeftAdapters(self, resources().load_part, self.model)
        for seed, name in enumerate(NAMES):
            self.adapters.add(name, AdapterSpec("lora", {"rank": 2, "dropout": dropout}), seed=seed)
            for _, up, _ in self.adapters.low_rank(name).values():
                nn.init.normal_(up)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def module(self) -> nn.Module:
        return self.model

    @property
    def adaptable_layers(self) -> Sequence[Layer]:
        return [Layer(name, 4, 4) for name in ("plain", "flat")]

    def layer_module(self, name: str) -> nn.Module:
        return self.model.get_submodule(name)

    @property
    def embeddings(self) -> Tensor:
        return torch.zeros(1, 4)

    def by(self, name: str, x: Tensor) -> Tensor:
        """Return the output by one adapter alone."""
        with self.adapters.using(name):
            return self.model(x)  # type: ignore[no-any-return]


@pytest.fixture
def host() -> Host:
    made = Host()
    made.model.eval()
    return made


def one_hot(*names: str) -> Mixture:
    return Mixture(NAMES, torch.tensor([[float(name == other) for other in NAMES] for name in names]))


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 2])
def test_each_row_is_read_by_its_own_adapter(host: Host, beams: int) -> None:
    names, x = ["other", "main", "other"], torch.randn(3 * beams, 5, 4)
    host.adapters.activate(one_hot(*names))
    host.adapters.locate(torch.arange(3), 3)
    mixed = host.model(x)
    for row, vectors in enumerate(x):
        torch.testing.assert_close(mixed[row], host.by(names[row // beams], vectors[None])[0])


@torch.no_grad()
def test_positions_of_a_row_may_belong_to_several_examples(host: Host) -> None:
    names, owner, x = ["other", "main"], torch.tensor([[0, 0, 1, 1, 0]]), torch.randn(1, 5, 4)
    host.adapters.activate(one_hot(*names))
    host.adapters.locate(owner, 2)
    mixed = host.model(x)
    host.adapters.follow(torch.tensor([1]))
    following = host.model(x)
    for place, example in enumerate(owner[0].tolist()):
        torch.testing.assert_close(mixed[:, place], host.by(names[example], x)[:, place])
    torch.testing.assert_close(following, host.by("main", x))


def test_weights_per_example_need_positions(host: Host) -> None:
    host.adapters.activate(one_hot("main", "other"))
    with pytest.raises(RuntimeError, match=r"call Adapters\.locate first"):
        host.model(torch.randn(2, 5, 4))
    with pytest.raises(ValueError, match="for 2 examples, not for 3"):
        host.adapters.locate(torch.arange(3), 3)


@torch.no_grad()
def test_one_adapter_is_the_same_by_peft_and_as_a_sum(host: Host) -> None:
    x = torch.randn(2, 5, 4)
    host.adapters.activate(["main"])
    torch.testing.assert_close(host.model(x), host.by("main", x))
    host.adapters.activate({"main": 0.5, "other": 0.0})
    delta = host.model.plain(x) - nn.functional.linear(x, *base(host))
    a, b, scale = host.adapters.low_rank("main")["plain"]
    torch.testing.assert_close(delta, 0.5 * scale * x @ a.T @ b.T)


def base(host: Host) -> tuple[Tensor, Tensor]:
    layer: Any = host.model.plain
    return layer.base_layer.weight, layer.base_layer.bias


@torch.no_grad()
def test_the_base_alone_is_as_it_was(host: Host) -> None:
    x = torch.randn(2, 5, 4)
    torch.manual_seed(0)
    expected = Flattening()(x)
    for selection in ("main", ["main", "other"], None):
        host.adapters.activate(selection)
    torch.testing.assert_close(host.model(x), expected)


def test_dropout_differs_by_adapter_in_a_sum_and_is_off_in_evaluation() -> None:
    host, x = Host(dropout=0.5), torch.randn(2, 50, 4)
    host.adapters.activate(list(NAMES))
    host.model.train()
    torch.manual_seed(1)
    assert not torch.equal(host.model(x), host.model(x))
    host.model.eval()
    torch.testing.assert_close(host.model(x), host.model(x))
    plain = Host()
    plain.adapters.activate(list(NAMES))
    torch.testing.assert_close(host.model(x), plain.model(x))


def test_one_that_is_removed_leaves_the_others_as_they_were(host: Host) -> None:
    x = torch.randn(2, 5, 4)
    expected = host.by("other", x)
    host.adapters.activate("other", learning=["main", "other"])
    host.adapters.remove("main")
    assert (host.adapters.names, host.adapters.learning) == (("other",), ("other",))
    torch.testing.assert_close(host.model(x), expected)
    assert all(weight.requires_grad for weight in host.adapters.parameters("other").values())
    host.adapters.add("main", AdapterSpec("lora", {"rank": 3}))
    torch.testing.assert_close(host.model(x), expected)
