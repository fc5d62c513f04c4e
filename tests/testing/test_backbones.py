"""The toy backbone keeps the contract, and the contract finds backbones that do not."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from micl_cli.api import (
    IGNORE_INDEX,
    Adapters,
    AdapterSpec,
    Backbone,
    Batch,
    Example,
    Mixture,
    PlainPass,
    Selection,
)
from micl_cli.testing import BackboneContract, ToyBackbone, toy_media, toy_task
from micl_cli.testing.adapters import perturb


class TestToyBackbone(BackboneContract):
    def make(self) -> Backbone:
        return ToyBackbone()


class TestToyBackboneOfOtherSize(BackboneContract):
    def make(self) -> Backbone:
        return ToyBackbone(width=16, rank=8, dropout=0.2)


def test_learns_a_task_it_then_answers() -> None:
    backbone, examples = ToyBackbone(), toy_task("image", "qa").examples("train")
    backbone.adapters.add("main")
    backbone.adapters.activate("main")
    optimizer = torch.optim.AdamW(backbone.adapters.trainable({"image"}).values(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        torch.autograd.backward(backbone.loss(backbone.batch(examples)))
        optimizer.step()
    for beams in (1, 3):
        answers = backbone.generate(examples, num_beams=beams)
        assert sum(a == e.target for a, e in zip(answers, examples, strict=True)) >= 10


def test_dropout_acts_in_training_alone() -> None:
    backbone = ToyBackbone(dropout=0.5)
    backbone.adapters.add("main")
    backbone.adapters.activate("main")
    with torch.no_grad():
        backbone.adapters.parameters("main")["layers.layers.0.mix.B"].add_(0.5)
    batch = backbone.text_batch(["one two"])
    assert torch.equal(backbone.answer_logits(batch)[0], backbone.answer_logits(batch)[0])
    backbone.module.train()
    assert not torch.equal(backbone.answer_logits(batch)[0], backbone.answer_logits(batch)[0])


def test_the_base_alone_takes_no_medium() -> None:
    with pytest.raises(ValueError, match="has a connector for image"):
        backbone = ToyBackbone()
        backbone.answer_logits(backbone.batch(toy_task("image", "qa").examples("train")[:1]))


# Backbones with one fault each


class Shifted(ToyBackbone):
    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        prompt = torch.cumsum(batch.labels != IGNORE_INDEX, 1) == 0
        hidden = self._read(batch.inputs["ids"], batch.examples, list(range(len(batch))), prompt)
        return self._logits(hidden[batch.labels != IGNORE_INDEX]), batch.labels[batch.labels != IGNORE_INDEX]


class PromptCounts(ToyBackbone):
    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        batch = super().batch(examples, groups)
        return Batch(batch.examples, batch.inputs["ids"].clone(), batch.inputs)


class SeesCompany(ToyBackbone):
    def _read(self, *given: Any) -> Tensor:
        hidden = super()._read(*given)
        return hidden + hidden.mean((0, 1))


class NotFresh(ToyBackbone):
    def new_connectors(self) -> Mapping[str, nn.Module]:
        for name in self._layers:
            nn.init.ones_(self._layers[name].weight)  # adding an adapter changes the base
        return super().new_connectors()


class FaultyAdapters(Adapters):
    """Adapters as a subclass of ToyBackbone makes them worse."""

    @classmethod
    def of(cls, backbone: ToyBackbone) -> None:
        """Let a backbone have adapters of this class."""
        backbone.adapters = cls(backbone, backbone.adapters.load_part)
        backbone.module["adapters"] = backbone.adapters.store  # type: ignore[operator]


class Careless(FaultyAdapters):
    @contextmanager
    def using(self, selection: Selection) -> Iterator[None]:
        former = self.active
        self.activate(selection)
        yield
        self.activate(former)


class OneForAll(FaultyAdapters):
    def activate(self, selection: Selection, **more: Any) -> None:
        super().activate("main" if isinstance(selection, Mixture) else selection, **more)


class Unweighted(FaultyAdapters):
    def activate(self, selection: Selection, **more: Any) -> None:
        super().activate(list(selection) if isinstance(selection, Mapping) else selection, **more)


class KeepsGradients(FaultyAdapters):
    def activate(self, selection: Selection, **more: Any) -> None:
        super().activate(selection, **more)
        self.host.module["base"].requires_grad_(True)  # type: ignore[index]


class SharedState(FaultyAdapters):
    def state(self, name: str) -> dict[str, Tensor]:
        return {key: weight.data for key, weight in self.parameters(name).items()}


class GlobalDraw(FaultyAdapters):
    def add(self, name: str, spec: AdapterSpec | None = None, *, seed: int = 0) -> None:
        nn.Linear(2, 2)
        super().add(name, spec, seed=seed)


class LearnsAll(FaultyAdapters):
    def activate(self, selection: Selection, **more: Any) -> None:
        super().activate(selection)


class Unnormalised(ToyBackbone):
    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        return super().score_choices(examples, choices) - 1


class ChoicesOfTheFirst(ToyBackbone):
    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        return super().score_choices(examples, examples[0].choices if choices is None else choices)


class AdapterInFeatures(ToyBackbone):
    def features(self, examples: Sequence[Example]) -> Tensor:
        return super().features(examples) + len(str(self.adapters.active or ""))


class Deaf(ToyBackbone):
    def new_connectors(self) -> Mapping[str, nn.Module]:
        return {modality: _Nothing(8, self.width) for modality in self.modalities}


class _Nothing(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * super().forward(x)


class Sorts(ToyBackbone):
    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        return super().batch([replace(e, content=tuple(sorted(e.content, key=str))) for e in examples], groups)


class CountsPadding(ToyBackbone):
    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        for each in super().plain_passes(examples):
            yield each._replace(real=torch.ones_like(each.real))


class StaysInEval(ToyBackbone):
    def generate(self, examples: Sequence[Example], **settings: Any) -> list[str]:
        self.module.eval()
        return super().generate(examples, **settings)


class TellsNothing(ToyBackbone):
    def stream(self, example: Example, receive: Callable[[str], None], **decoding: Any) -> str:
        return super().stream(example, lambda piece: None, **decoding)


FAULTS: list[tuple[type[ToyBackbone] | type[FaultyAdapters], str]] = [
    (Shifted, "test_logits_are_causal"),
    (PromptCounts, "test_labels_are_the_answer_tokens_only"),
    (SeesCompany, "test_logits_do_not_depend_on_the_rest_of_the_batch"),
    (NotFresh, "test_a_new_adapter_has_no_effect"),
    (Careless, "test_using_restores_the_selection_and_disables_gradients"),
    (OneForAll, "test_batches_of_mixed_adapters_equal_single_adapters"),
    (Unweighted, "test_sums_and_mixtures_of_adapters"),
    (LearnsAll, "test_active_and_trained_adapters_are_independent"),
    (Unnormalised, "test_choices_are_normalised_and_scored_as_whole_answers"),
    (ChoicesOfTheFirst, "test_examples_may_have_different_choices"),
    (AdapterInFeatures, "test_features_are_frozen_and_distinguish_media"),
    (Deaf, "test_medium_and_prompt_affect_logits"),
    (Sorts, "test_order_of_content_affects_logits"),
    (CountsPadding, "test_statistics_ignore_padding"),
    (KeepsGradients, "test_gradients_reach_the_active_adapter_only"),
    (SharedState, "test_copy_and_state_are_complete"),
    (GlobalDraw, "test_a_new_adapter_depends_only_on_its_seed"),
    (StaysInEval, "test_answering_does_not_change_the_mode"),
    (TellsNothing, "test_a_streamed_answer_is_the_generated_one"),
]


def _made(faulty: type[ToyBackbone] | type[FaultyAdapters]) -> ToyBackbone:
    if issubclass(faulty, ToyBackbone):
        return faulty()
    backbone = ToyBackbone()
    faulty.of(backbone)
    return backbone


@pytest.mark.parametrize(("faulty", "test"), FAULTS, ids=[faulty.__name__ for faulty, _ in FAULTS])
def test_the_contract_finds(faulty: type[ToyBackbone] | type[FaultyAdapters], test: str) -> None:
    contract = type("Contract", (BackboneContract,), {"make": lambda self: _made(faulty)})()
    backbone = _prepared(contract)
    run = getattr(contract, test)
    with pytest.raises(AssertionError):
        run(backbone) if "backbone" in inspect.signature(run).parameters else run()


def _prepared(contract: BackboneContract) -> Backbone:
    """Return what the contract's fixture gives to its tests."""
    backbone = contract.make()
    backbone.read = toy_media
    for seed, name in enumerate(("main", "other"), 3):
        backbone.adapters.add(name, seed=seed)
        perturb(backbone, name, seed)
    backbone.adapters.activate("main")
    return backbone


def test_instructions_are_texts() -> None:
    texts = ToyBackbone().instructions()
    assert len(texts) > 4
    assert json.dumps(list(texts))
