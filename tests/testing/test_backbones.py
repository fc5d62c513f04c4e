"""The toy backbone keeps the contract, and the contract finds backbones that do not."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from micl_cli.api import Backbone, Batch, Example
from micl_cli.testing import BackboneContract, ToyBackbone, toy_media, toy_task


class TestToyBackbone(BackboneContract):
    def make(self) -> Backbone:
        return ToyBackbone()


class TestToyBackboneOfOtherSize(BackboneContract):
    def make(self) -> Backbone:
        return ToyBackbone(width=16, rank=8, dropout=0.2)


def test_learns_a_task_it_then_answers() -> None:
    backbone, examples = ToyBackbone(), toy_task("image", "qa").examples("train")
    backbone.add_adapter("main")
    backbone.activate("main")
    optimizer = torch.optim.AdamW(backbone.trainable({"image"}).values(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        backbone.loss(backbone.batch(examples)).backward()
        optimizer.step()
    for beams in (1, 3):
        answers = backbone.generate(examples, num_beams=beams)
        assert sum(a == e.target for a, e in zip(answers, examples, strict=True)) >= 10


def test_dropout_is_felt_in_training_alone() -> None:
    backbone = ToyBackbone(dropout=0.5)
    backbone.add_adapter("main")
    backbone.activate("main")
    with torch.no_grad():
        backbone.adapter_weights("main")["lora-mix-up"].add_(0.5)
    batch = backbone.text_batch(["one two"])
    assert torch.equal(backbone.answer_logits(batch)[0], backbone.answer_logits(batch)[0])
    backbone.module.train()
    assert not torch.equal(backbone.answer_logits(batch)[0], backbone.answer_logits(batch)[0])


def test_the_base_alone_takes_no_medium() -> None:
    with pytest.raises(ValueError, match="activate an adapter"):
        backbone = ToyBackbone()
        backbone.answer_logits(backbone.batch(toy_task("image", "qa").examples("train")[:1]))


# Backbones with one fault each


class Shifted(ToyBackbone):
    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        wanted = batch.labels != -100
        return self._words(self._read(batch.inputs["ids"], batch.examples)[wanted]), batch.labels[wanted]


class PromptCounts(ToyBackbone):
    def batch(self, examples: Sequence[Example]) -> Batch:
        batch = super().batch(examples)
        return Batch(batch.examples, batch.inputs["ids"].clone(), batch.inputs)


class SeesCompany(ToyBackbone):
    def _read(self, ids: Tensor, examples: Sequence[Example]) -> Tensor:
        hidden = super()._read(ids, examples)
        return hidden + hidden.mean((0, 1))


class NotFresh(ToyBackbone):
    def add_adapter(self, name: str, *, seed: int = 0) -> None:
        super().add_adapter(name, seed=seed)
        self.adapter_weights(name)["lora-mix-up"].data.fill_(1.0)


class Careless(ToyBackbone):
    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        former = self.active
        self.activate(name)
        yield
        self.activate(former)


class OneForAll(ToyBackbone):
    def generate(self, examples: Sequence[Example], **settings: Any) -> list[str]:
        return super().generate(examples, **{**settings, "adapters": None})


class Unnormalised(ToyBackbone):
    def choose(self, examples: Sequence[Example], choices: Sequence[str]) -> Tensor:
        return super().choose(examples, choices) - 1


class AdapterInFeatures(ToyBackbone):
    def features(self, examples: Sequence[Example]) -> Tensor:
        return super().features(examples) + len(self.active or "")


class Deaf(ToyBackbone):
    def _seen(self, modality: str, examples: Sequence[Example]) -> Tensor:
        return 0 * super()._seen(modality, examples)


class KeepsGradients(ToyBackbone):
    def activate(self, name: str | None) -> None:
        super().activate(name)
        self._base.requires_grad_(True)


class SharedState(ToyBackbone):
    def adapter_state(self, name: str) -> dict[str, Tensor]:
        return {key: weight.data for key, weight in self.adapter_weights(name).items()}


class GlobalDraw(ToyBackbone):
    def add_adapter(self, name: str, *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        nn.Linear(2, 2)
        super().add_adapter(name, seed=seed)


class StaysInEval(ToyBackbone):
    def generate(self, examples: Sequence[Example], **settings: Any) -> list[str]:
        self.module.eval()
        return super().generate(examples, **settings)


FAULTS = [
    (Shifted, "test_a_logit_knows_only_what_stands_before_it"),
    (PromptCounts, "test_labels_are_the_answer_whatever_the_prompt"),
    (SeesCompany, "test_padding_and_company_change_nothing"),
    (NotFresh, "test_a_fresh_adapter_changes_nothing_yet"),
    (Careless, "test_using_comes_back_and_blocks_gradients"),
    (OneForAll, "test_mixed_adapters_answer_as_single_ones"),
    (Unnormalised, "test_choose_is_normalised_and_counts_whole_answers"),
    (AdapterInFeatures, "test_features_are_frozen_and_tell_media_apart"),
    (Deaf, "test_medium_and_prompt_matter"),
    (KeepsGradients, "test_gradients_reach_the_active_adapter_only"),
    (SharedState, "test_copy_and_state_hold_everything"),
    (GlobalDraw, "test_the_seed_decides_a_fresh_adapter"),
    (StaysInEval, "test_answering_leaves_the_mode"),
]


@pytest.mark.parametrize(("faulty", "test"), FAULTS, ids=[faulty.__name__ for faulty, _ in FAULTS])
def test_the_contract_finds(faulty: type[ToyBackbone], test: str) -> None:
    contract = type("Contract", (BackboneContract,), {"make": lambda self: faulty()})()
    backbone = _prepared(contract)
    run = getattr(contract, test)
    with pytest.raises(AssertionError):
        run(backbone) if "backbone" in inspect.signature(run).parameters else run()


def _prepared(contract: BackboneContract) -> Backbone:
    """What the contract's fixture gives to its tests."""
    backbone = contract.make()
    backbone.read = toy_media
    for seed, name in enumerate(("main", "other"), 3):
        backbone.add_adapter(name, seed=seed)
        drawn = torch.Generator().manual_seed(seed)
        for weight in backbone.adapter_weights(name).values():
            weight.data.add_(0.1 * torch.randn(weight.shape, generator=drawn))
    backbone.activate("main")
    return backbone


def test_instructions_are_texts() -> None:
    texts = ToyBackbone().instructions()
    assert len(texts) > 4
    assert json.dumps(list(texts))
