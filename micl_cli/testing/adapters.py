"""The contract of a backbone's adapters: names, weights, activation, training, sums and mixtures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from micl_cli.api.backbone import Backbone
from micl_cli.api.selection import Mixture, Selection
from micl_cli.api.task import Example


class AdapterTests:
    """The tests of adapters in BackboneContract."""

    tolerance: ClassVar[float] = 1e-3

    def make(self) -> Backbone:
        """Return a new backbone without adapters, always with the same weights."""
        raise NotImplementedError("return the backbone under test")

    def examples(self, backbone: Backbone) -> Sequence[Example]:
        """Return examples of different lengths."""
        raise NotImplementedError("return examples")

    @torch.no_grad()
    def test_a_new_adapter_has_no_effect(self) -> None:
        backbone = self.make()
        backbone.module.eval()
        assert backbone.adapters.active is None
        batch = backbone.text_batch(["one two three"])
        before, _ = backbone.answer_logits(batch)
        backbone.adapters.add("new", seed=5)
        assert backbone.adapters.names == ("new",)
        backbone.adapters.activate("new")
        self._assert_close(backbone.answer_logits(batch)[0], before, "a new adapter changes the logits of the base")

    def test_a_new_adapter_has_the_mode_of_the_module(self) -> None:
        backbone = self.make()
        backbone.module.eval()
        backbone.adapters.add("new")
        assert not any(module.training for module in backbone.module.modules()), "its dropout is on in evaluation"

    def test_a_new_adapter_depends_only_on_its_seed(self) -> None:
        state = torch.get_rng_state()
        first, second = self.make(), self.make()
        for backbone in (first, second):
            backbone.adapters.add("one", seed=7)
            backbone.adapters.add("two", seed=8)
        assert torch.equal(state, torch.get_rng_state()), "global randomness was used"
        assert _equal(first.adapters.state("one"), second.adapters.state("one"))
        assert not _equal(first.adapters.state("one"), first.adapters.state("two"))

    def test_names_of_weights_are_equal_for_all_adapters(self, backbone: Backbone) -> None:
        names = list(backbone.adapters.parameters("main"))
        assert names == list(backbone.adapters.parameters("other"))
        assert {backbone.adapters.group(name) for name in names} <= {
            "lora",
            *(f"connector/{name}" for name in backbone.modalities),
        }

    def test_copy_and_state_are_complete(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        before = _logits(backbone, examples)
        state = backbone.adapters.state("main")
        backbone.adapters.copy("main", "teacher")
        assert _equal(state, backbone.adapters.state("teacher"))
        perturb(backbone, "main", 9)
        assert not torch.equal(_logits(backbone, examples), before)
        assert not _equal(state, backbone.adapters.state("main")), "Adapters.state does not return a copy"
        backbone.adapters.activate("teacher")
        self._assert_close(_logits(backbone, examples), before, "a copied adapter has different logits")
        backbone.adapters.load("main", state)
        backbone.adapters.activate("main")
        assert torch.equal(_logits(backbone, examples), before)
        with pytest.raises(KeyError):
            backbone.adapters.load("main", dict(list(state.items())[1:]))

    def test_using_restores_the_selection_and_disables_gradients(self, backbone: Backbone) -> None:
        batch = backbone.batch(self.examples(backbone))
        backbone.module.train()
        with pytest.raises(ZeroDivisionError), backbone.adapters.using("other"):
            assert backbone.adapters.active == "other"
            assert not backbone.module.training
            assert not backbone.answer_logits(batch)[0].requires_grad
            raise ZeroDivisionError
        assert backbone.adapters.active == "main"
        torch.autograd.backward(backbone.loss(batch))
        assert all(w.grad is None for w in backbone.adapters.parameters("other").values()), (
            "the other adapter has gradients"
        )

    def test_gradients_reach_the_active_adapter_only(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        torch.autograd.backward(backbone.loss(backbone.batch(examples)))
        weights = backbone.adapters.trainable(backbone.modalities)
        missing = [name for name, weight in weights.items() if weight.grad is None]
        assert not missing, f"no gradient: {missing[:3]}"
        own = {id(weight) for weight in backbone.adapters.parameters("main").values()}
        others = [n for n, w in backbone.module.named_parameters() if id(w) not in own and w.grad is not None]
        assert not others, f"gradients outside the adapter: {others[:3]}"

    def test_trainable_is_lora_and_the_requested_connectors(self, backbone: Backbone) -> None:
        connectors = {backbone.adapters.group(name) for name in backbone.adapters.parameters("main")} - {"lora"}
        for modalities in (set(), set(sorted(backbone.modalities)[:1]), set(backbone.modalities)):
            groups = {backbone.adapters.group(name) for name in backbone.adapters.trainable(modalities)}
            assert groups == {"lora", *({f"connector/{name}" for name in modalities} & connectors)}
        backbone.adapters.activate(None)
        assert not backbone.adapters.trainable(backbone.modalities)

    def test_adapters_are_added_and_removed(self, backbone: Backbone) -> None:
        with pytest.raises(ValueError):
            backbone.adapters.add("main")
        with pytest.raises(ValueError):
            backbone.adapters.remove("main")
        calls: list[Callable[[str], object]] = [
            backbone.adapters.activate,
            backbone.adapters.remove,
            backbone.adapters.parameters,
        ]
        for call in calls:
            with pytest.raises(KeyError):
                call("unknown")
        backbone.adapters.activate(None)
        backbone.adapters.remove("main")
        backbone.adapters.remove("other")
        assert backbone.adapters.names == ()
        backbone.adapters.add("again")
        backbone.adapters.activate("again")
        assert torch.isfinite(_logits(backbone, self.examples(backbone))).all()

    # Selections

    @torch.no_grad()
    def test_sums_and_mixtures_of_adapters(self, backbone: Backbone) -> None:
        examples = [replace(e, content=e.content[-1:]) for e in self.examples(backbone)]  # text alone: no connectors
        first, second = (_low_rank_sum(backbone, weights) for weights in ((1.0, 1.0), (0.3, -0.5)))
        assert first and second
        batch = backbone.batch(examples)
        selections: list[tuple[Selection, dict[str, Tensor]]] = [
            (["main", "other"], first),
            ({"main": 0.3, "other": -0.5}, second),
        ]
        for selection, deltas in selections:
            with backbone.adapters.using(selection):
                mixed = backbone.answer_logits(batch)[0]
            with backbone.adapters.using(None), _merged(backbone, deltas):
                merged = backbone.answer_logits(batch)[0]
            self._assert_close(mixed, merged, "a sum of adapters differs from merging their weights")
        weights = torch.tensor([[0.3, -0.5], [1.0, 1.0]])[torch.arange(len(examples)) % 2]
        with backbone.adapters.using(Mixture(["main", "other"], weights)):
            mixed = backbone.answer_logits(backbone.batch(examples))[0]
        for row, example in enumerate(examples):
            with backbone.adapters.using(selections[1 - row % 2][0]):
                alone = backbone.answer_logits(backbone.batch([example]))[0]
            self._assert_close(mixed[batch.example_index == row], alone, "a mixture affects other examples")

    def test_active_and_trained_adapters_are_independent(self, backbone: Backbone) -> None:
        backbone.adapters.activate(["main", "other"], learning=["other"])
        torch.autograd.backward(backbone.loss(backbone.batch(self.examples(backbone))))
        assert all(weight.grad is None for weight in backbone.adapters.parameters("main").values())
        learning = backbone.adapters.trainable(backbone.modalities)
        assert learning and all(name.startswith("other/") for name in learning)
        assert all(weight.grad is not None for weight in learning.values())

    def test_weights_of_a_mixture_are_learnt(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        weights = torch.full((len(examples), 2), 0.5, requires_grad=True)
        backbone.adapters.activate(Mixture(["main", "other"], weights), learning=())
        torch.autograd.backward(backbone.loss(backbone.batch(examples)))
        assert weights.grad is not None
        assert (weights.grad != 0).all(), "a weight has no effect on the loss"

    # Layer statistics

    def test_statistics_ignore_padding(self, backbone: Backbone) -> None:
        examples = list(self.examples(backbone))
        for what in ("inputs", "gradients"):
            batched = dict(itertools.islice(backbone.layer_statistics(examples, what), 2))
            single = dict(itertools.islice(backbone.layer_statistics(examples, what, batch_size=1), 2))
            assert batched.keys() == single.keys()
            for name, matrix in batched.items():
                scale = float(single[name].abs().max())
                self._assert_close(matrix / scale, single[name] / scale, f"{what} of {name} depend on padding")

    def _assert_close(self, first: Tensor, second: Tensor, message: str) -> None:
        assert torch.allclose(first.float(), second.float(), atol=self.tolerance, rtol=self.tolerance), message


@torch.no_grad()
def perturb(backbone: Backbone, name: str, seed: int) -> None:
    """Add noise to the weights of an adapter, so that it has an effect and differs from others."""
    generator = torch.Generator().manual_seed(seed)
    for weight in backbone.adapters.parameters(name).values():
        weight.add_(0.1 * torch.randn(weight.shape, generator=generator).to(weight))


@torch.no_grad()
def _logits(backbone: Backbone, examples: Sequence[Example]) -> Tensor:
    return backbone.answer_logits(backbone.batch(examples))[0]


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _low_rank_sum(backbone: Backbone, weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted sum of scale B A over both adapters, [out, in] by layer."""
    sums: dict[str, Tensor] = {}
    for name, weight in zip(("main", "other"), weights, strict=True):
        for layer, (a, b, scale) in backbone.adapters.low_rank(name).items():
            sums[layer] = sums.get(layer, torch.zeros(())) + weight * scale * (b @ a).detach()
    return sums


@contextmanager
def _merged(backbone: Backbone, deltas: dict[str, Tensor]) -> Iterator[None]:
    """Add dense matrices to the layers during the block, as if they were merged into the weights."""
    hooks = [
        backbone.layer_module(name).register_forward_hook(partial(_add_dense, delta)) for name, delta in deltas.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _add_dense(delta: Tensor, module: object, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + (inputs[0].to(delta.dtype) @ delta.T).to(output.dtype)
