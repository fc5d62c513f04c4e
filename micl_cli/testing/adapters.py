"""What every backbone keeps of adapters: names, weights, who acts and who learns, sums and mixtures."""

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
    """The part of BackboneContract that is about adapters; see there."""

    tolerance: ClassVar[float] = 1e-3

    def make(self) -> Backbone:
        """Return a fresh backbone without adapters, always with the same weights."""
        raise NotImplementedError("return the backbone under test")

    def examples(self, backbone: Backbone) -> Sequence[Example]:
        """Return examples of unlike length."""
        raise NotImplementedError("return examples")

    @torch.no_grad()
    def test_a_fresh_adapter_changes_nothing_yet(self) -> None:
        made = self.make()
        made.module.eval()
        assert made.adapters.active is None
        batch = made.text_batch(["one two three"])
        before, _ = made.answer_logits(batch)
        made.adapters.add("fresh", seed=5)
        assert made.adapters.names == ("fresh",)
        made.adapters.activate("fresh")
        self._close(made.answer_logits(batch)[0], before, "a fresh adapter changes what the base says")

    def test_a_fresh_adapter_takes_the_mode_of_the_rest(self) -> None:
        made = self.make()
        made.module.eval()
        made.adapters.add("fresh")
        assert not any(part.training for part in made.module.modules()), "its dropout is on in evaluation"

    def test_the_seed_decides_a_fresh_adapter(self) -> None:
        state = torch.get_rng_state()
        made, again = self.make(), self.make()
        for backbone in (made, again):
            backbone.adapters.add("one", seed=7)
            backbone.adapters.add("two", seed=8)
        assert torch.equal(state, torch.get_rng_state()), "global randomness was used"
        assert _equal(made.adapters.state("one"), again.adapters.state("one"))
        assert not _equal(made.adapters.state("one"), made.adapters.state("two"))

    def test_names_of_weights_are_the_same_for_all_adapters(self, backbone: Backbone) -> None:
        names = list(backbone.adapters.parameters("main"))
        assert names == list(backbone.adapters.parameters("other"))
        assert {backbone.adapters.group(name) for name in names} <= {
            "lora",
            *(f"connector/{name}" for name in backbone.modalities),
        }

    def test_copy_and_state_hold_everything(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        before = _logits(backbone, examples)
        kept = backbone.adapters.state("main")
        backbone.adapters.copy("main", "teacher")
        assert _equal(kept, backbone.adapters.state("teacher"))
        disturb(backbone, "main", 9)
        assert not torch.equal(_logits(backbone, examples), before)
        assert not _equal(kept, backbone.adapters.state("main")), "adapter_state is not a copy"
        backbone.adapters.activate("teacher")
        self._close(_logits(backbone, examples), before, "a copied adapter answers differently")
        backbone.adapters.load("main", kept)
        backbone.adapters.activate("main")
        assert torch.equal(_logits(backbone, examples), before)
        with pytest.raises(KeyError):
            backbone.adapters.load("main", dict(list(kept.items())[1:]))

    def test_using_comes_back_and_blocks_gradients(self, backbone: Backbone) -> None:
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
        without = [name for name, weight in weights.items() if weight.grad is None]
        assert not without, f"no gradient: {without[:3]}"
        own = {id(weight) for weight in backbone.adapters.parameters("main").values()}
        others = [n for n, w in backbone.module.named_parameters() if id(w) not in own and w.grad is not None]
        assert not others, f"gradients outside the adapter: {others[:3]}"

    def test_trainable_is_lora_and_the_asked_connectors(self, backbone: Backbone) -> None:
        connectors = {backbone.adapters.group(name) for name in backbone.adapters.parameters("main")} - {"lora"}
        for modalities in (set(), set(sorted(backbone.modalities)[:1]), set(backbone.modalities)):
            groups = {backbone.adapters.group(name) for name in backbone.adapters.trainable(modalities)}
            assert groups == {"lora", *({f"connector/{name}" for name in modalities} & connectors)}
        backbone.adapters.activate(None)
        assert not backbone.adapters.trainable(backbone.modalities)

    def test_adapters_come_and_go(self, backbone: Backbone) -> None:
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
                call("nobody")
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
            self._close(mixed, merged, "a sum of adapters differs from their sum in the weights")
        weights = torch.tensor([[0.3, -0.5], [1.0, 1.0]])[torch.arange(len(examples)) % 2]
        with backbone.adapters.using(Mixture(["main", "other"], weights)):
            mixed = backbone.answer_logits(backbone.batch(examples))[0]
        for row, example in enumerate(examples):
            with backbone.adapters.using(selections[1 - row % 2][0]):
                alone = backbone.answer_logits(backbone.batch([example]))[0]
            self._close(mixed[batch.example_index == row], alone, "a mixture changes other examples")

    def test_who_acts_and_who_learns_are_chosen_apart(self, backbone: Backbone) -> None:
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

    def test_statistics_count_real_tokens_once(self, backbone: Backbone) -> None:
        examples = list(self.examples(backbone))
        for what in ("inputs", "gradients"):
            together = dict(itertools.islice(backbone.layer_statistics(examples, what), 2))
            alone = dict(itertools.islice(backbone.layer_statistics(examples, what, batch_size=1), 2))
            assert together.keys() == alone.keys()
            for name, matrix in together.items():
                scale = float(alone[name].abs().max())
                self._close(matrix / scale, alone[name] / scale, f"{what} of {name} depend on padding")

    def _close(self, first: Tensor, second: Tensor, otherwise: str) -> None:
        assert torch.allclose(first.float(), second.float(), atol=self.tolerance, rtol=self.tolerance), otherwise


@torch.no_grad()
def disturb(backbone: Backbone, name: str, seed: int) -> None:
    """Make an adapter differ from the base and from others."""
    drawn = torch.Generator().manual_seed(seed)
    for weight in backbone.adapters.parameters(name).values():
        weight.add_(0.1 * torch.randn(weight.shape, generator=drawn).to(weight))


@torch.no_grad()
def _logits(backbone: Backbone, examples: Sequence[Example]) -> Tensor:
    return backbone.answer_logits(backbone.batch(examples))[0]


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _low_rank_sum(backbone: Backbone, weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted sum of scale B A of the two adapters, [out, in] by layer."""
    found: dict[str, Tensor] = {}
    for name, weight in zip(("main", "other"), weights, strict=True):
        for layer, (a, b, scale) in backbone.adapters.low_rank(name).items():
            found[layer] = found.get(layer, torch.zeros(())) + weight * scale * (b @ a).detach()
    return found


@contextmanager
def _merged(backbone: Backbone, deltas: dict[str, Tensor]) -> Iterator[None]:
    """Let dense matrices be added in the layers, as if they were merged into their weights."""
    hooks = [
        backbone.layer_module(name).register_forward_hook(partial(_add_dense, delta)) for name, delta in deltas.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _add_dense(delta: Tensor, module: object, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + (given[0].to(delta.dtype) @ delta.T).to(output.dtype)
