"""What every backbone keeps: alignment, padding, adapters, answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api.backbone import IGNORE_INDEX, Backbone
from micl_cli.api.task import Example
from micl_cli.testing.tasks import toy_examples, toy_media


class BackboneContract:
    """Subclass it and give ``make``; pytest then runs these tests on what it returns.

    Media are made up for image, audio and video; override ``examples`` where that does not do.
    ``tolerance`` is how far logits may be apart by rounding alone. ``steps`` and
    ``learning_rate`` are what one example needs to be learnt by heart.
    """

    tolerance: ClassVar[float] = 1e-3
    steps: ClassVar[int] = 80
    learning_rate: ClassVar[float] = 1e-2

    def make(self) -> Backbone:
        """A fresh backbone without adapters, always with the same weights."""
        raise NotImplementedError("return the backbone under test")

    def examples(self, backbone: Backbone) -> Sequence[Example]:
        """Examples of unlike length: of each modality the backbone takes, and without a medium."""
        return toy_examples(sorted(backbone.modalities))

    @pytest.fixture
    def backbone(self) -> Backbone:
        """Two adapters whose weights differ; "main" is active, and nothing is dropped at random."""
        made = self.make()
        made.read = toy_media
        made.add_adapter("main", seed=1)
        made.add_adapter("other", seed=2)
        _disturb(made, "main", 3)
        _disturb(made, "other", 4)
        made.activate("main")
        made.module.eval()
        return made

    # Batches and losses

    def test_logits_stand_at_the_answers(self, backbone: Backbone) -> None:
        batch = backbone.batch(self.examples(backbone))
        logits, labels = backbone.answer_logits(batch)
        wanted = batch.labels[:, 1:] != IGNORE_INDEX
        assert torch.equal(labels, batch.labels[:, 1:][wanted]), "labels are not those of the batch, row by row"
        assert logits.shape[0] == len(labels) == len(batch.example_index)
        assert set(batch.example_index.tolist()) == set(range(len(batch))), "an example has no answer position"

    def test_labels_are_the_answer_whatever_the_prompt(self, backbone: Backbone) -> None:
        for example in self.examples(backbone):
            asked = Example("1", f"{example.prompt} Answer in one word.", (example.target,))
            _, labels = backbone.answer_logits(backbone.batch([example]))
            _, others = backbone.answer_logits(backbone.batch([asked]))
            assert labels.tolist() == others.tolist(), "prompt or medium is among the labels"
            _, longer = backbone.answer_logits(backbone.batch([example.with_answer(f"{example.target} and more")]))
            assert len(longer) > len(labels)

    @torch.no_grad()
    def test_a_logit_knows_only_what_stands_before_it(self, backbone: Backbone) -> None:
        for example in self.examples(backbone):
            first, labels = backbone.answer_logits(backbone.batch([example.with_answer("yes")]))
            second, others = backbone.answer_logits(backbone.batch([example.with_answer("no")]))
            assert labels[0] != others[0]
            self._close(first[0], second[0], "the first answer position has seen the answer")

    @torch.no_grad()
    def test_medium_and_prompt_matter(self, backbone: Backbone) -> None:
        for modality in sorted(backbone.modalities):
            first, second = [e.with_answer("red") for e in self.examples(backbone) if e.modality == modality][:2]
            swapped = Example(first.id, second.prompt, ("red",), modality, first.media, first.digest)
            logits = [backbone.answer_logits(backbone.batch([e]))[0][0] for e in (first, second, swapped)]
            assert not torch.equal(logits[0], logits[2]), "the prompt changes nothing"
            assert not torch.equal(logits[1], logits[2]), f"the {modality} changes nothing"

    @torch.no_grad()
    def test_padding_and_company_change_nothing(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        batch = backbone.batch(examples)
        together, labels = backbone.answer_logits(batch)
        for row, example in enumerate(examples):
            alone, own = backbone.answer_logits(backbone.batch([example]))
            here = (batch.example_index == row).to(labels.device)
            assert torch.equal(labels[here], own)
            self._close(together[here], alone, f"the logits of example {row} depend on the others in its batch")

    @torch.no_grad()
    def test_other_prompts_on_a_medium_change_nothing(self, backbone: Backbone) -> None:
        examples = [e for e in self.examples(backbone) if e.modality]
        asked = [replace(e, prompt="what else is there to see or hear?").with_answer("nothing") for e in examples]
        alike = [*examples, *asked, *examples[:1]]
        batch = backbone.batch(alike)
        together, _ = backbone.answer_logits(batch)
        for row, example in enumerate(alike):
            alone, _ = backbone.answer_logits(backbone.batch([example]))
            here = (batch.example_index == row).to(together.device)
            self._close(together[here], alone, f"the logits of example {row} depend on others with its medium")

    @torch.no_grad()
    def test_states_are_what_the_projection_reads(self, backbone: Backbone) -> None:
        if "states" not in backbone.provides:
            pytest.skip("no states are provided")
        batch = backbone.batch(self.examples(backbone))
        logits, labels = backbone.answer_logits(batch)
        states, own = backbone.answer_states(batch)
        assert states.shape[0] == len(own) and states.shape[1] < logits.shape[1]
        assert torch.equal(own, labels)
        self._close(backbone.project(states), logits, "projected states are other logits")

    @torch.no_grad()
    def test_loss_is_cross_entropy_over_answers(self, backbone: Backbone) -> None:
        batch = backbone.batch(self.examples(backbone))
        logits, labels = backbone.answer_logits(batch)
        assert float(backbone.loss(batch)) == pytest.approx(float(F.cross_entropy(logits.float(), labels)), rel=1e-4)

    @torch.no_grad()
    def test_text_batch_reads_every_text(self, backbone: Backbone) -> None:
        batch = backbone.text_batch(["one", "one two three"])
        assert torch.isfinite(backbone.loss(batch))
        short, long = (int((batch.example_index == row).sum()) for row in (0, 1))
        assert 0 < short < long

    # Learning and answers

    def test_learns_an_example_by_heart_and_says_it(self, backbone: Backbone) -> None:
        modality = min(backbone.modalities) if backbone.modalities else None
        example = next(e for e in self.examples(backbone) if e.modality == modality)
        weights = list(backbone.trainable({modality} if modality else set()).values())
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            torch.autograd.backward(backbone.loss(backbone.batch([example])))
            optimizer.step()
            if backbone.generate([example]) == [example.target]:
                break
        assert backbone.generate([example]) == [example.target]
        assert backbone.choose([example], [example.target, "something else"]).argmax() == 0

    def test_generates_for_each_example_its_own(self, backbone: Backbone) -> None:
        examples = list(self.examples(backbone))
        together = backbone.generate(examples, max_new_tokens=6)
        assert together == [backbone.generate([example], max_new_tokens=6)[0] for example in examples]
        assert len(backbone.generate(examples, max_new_tokens=6, num_beams=2)) == len(examples)
        assert backbone.generate([]) == []

    def test_mixed_adapters_answer_as_single_ones(self, backbone: Backbone) -> None:
        examples = list(self.examples(backbone))
        single, searched = {}, {}
        for name in ("main", "other"):
            backbone.activate(name)
            single[name] = backbone.generate(examples, max_new_tokens=6)
            searched[name] = backbone.generate(examples, max_new_tokens=6, num_beams=2)
        names = ["main", "other"] * (len(examples) // 2) + ["main"] * (len(examples) % 2)
        mixed = backbone.generate(examples, adapters=names, max_new_tokens=6)
        assert mixed == [single[name][i] for i, name in enumerate(names)]
        beams = backbone.generate(examples, adapters=names, max_new_tokens=6, num_beams=2)
        assert beams == [searched[name][i] for i, name in enumerate(names)]
        assert single["main"] != single["other"], "the two adapters do not differ: nothing was tested"
        assert backbone.active == "other"

    def test_questions_on_one_medium_are_answered_as_each_alone(self, backbone: Backbone) -> None:
        seen = {e.modality: e for e in self.examples(backbone) if e.modality}.values()
        asked = [replace(e, prompt=text) for e in seen for text in ("what else?", "which colour?", "is there more?")]
        alone = {}
        for name in ("main", "other"):
            backbone.activate(name)
            alone[name] = [backbone.generate([example], max_new_tokens=6)[0] for example in asked]
            assert backbone.generate(asked, max_new_tokens=6) == alone[name], "a question changes another's answer"
            if asked:
                single = [backbone.choose([example], ["yes", "no, it is not"])[0] for example in asked]
                together = backbone.choose(asked, ["yes", "no, it is not"])
                self._close(together, torch.stack(single), "a question changes what is chosen for another")
        names = ["main", "other", "main"] * len(seen)
        mixed = backbone.generate(asked, adapters=names, max_new_tokens=6)
        assert mixed == [alone[name][i] for i, name in enumerate(names)]

    def test_answering_leaves_the_mode(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)[:1]
        for training in (True, False):
            backbone.module.train(training)
            backbone.generate(examples, max_new_tokens=2)
            backbone.choose(examples, ["yes", "no"])
            assert backbone.module.training == training

    def test_choose_is_normalised_and_counts_whole_answers(self, backbone: Backbone) -> None:
        examples, choices = list(self.examples(backbone)), ["yes", "no", "perhaps it is so"]
        scores = backbone.choose(examples, choices)
        assert scores.shape == (len(examples), len(choices))
        assert not scores.requires_grad
        assert torch.allclose(scores.exp().sum(1), torch.ones(len(examples), device=scores.device), atol=1e-4)
        for row, example in enumerate(examples):
            totals = torch.stack([_log_likelihood(backbone, example.with_answer(choice)) for choice in choices])
            self._close(scores[row].cpu(), torch.log_softmax(totals, 0), "choose disagrees with answer_logits")

    def test_features_are_frozen_and_tell_media_apart(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        before = backbone.features(examples)
        assert before.ndim == 2
        assert len(before) == len(examples)
        assert not before.requires_grad
        assert torch.isfinite(before).all()
        assert len({tuple(row) for row in before.tolist()}) == len(examples), "different examples have equal features"
        for name in ("other", None):
            backbone.activate(name)
            assert torch.equal(before, backbone.features(examples)), "features depend on the adapter"

    def test_writes_questions_without_adapters(self, backbone: Backbone) -> None:
        if "questions" not in backbone.provides:
            pytest.skip("it does not write questions")
        captions = ["a red box", "a blue ring is turning"]
        written = backbone.ask(captions)
        assert len(written) == len(captions)
        assert all(pair is None or (len(pair) == 2 and all(pair)) for pair in written)
        backbone.activate("other")
        assert backbone.ask(captions) == written, "questions depend on the adapter"
        assert backbone.active == "other"

    # Adapters

    @torch.no_grad()
    def test_a_fresh_adapter_changes_nothing_yet(self) -> None:
        made = self.make()
        made.module.eval()
        assert made.active is None
        batch = made.text_batch(["one two three"])
        before, _ = made.answer_logits(batch)
        made.add_adapter("fresh", seed=5)
        assert list(made.adapters) == ["fresh"]
        made.activate("fresh")
        self._close(made.answer_logits(batch)[0], before, "a fresh adapter changes what the base says")

    def test_a_fresh_adapter_takes_the_mode_of_the_rest(self) -> None:
        made = self.make()
        made.module.eval()
        made.add_adapter("fresh")
        assert not any(part.training for part in made.module.modules()), "its dropout is on in evaluation"

    def test_the_seed_decides_a_fresh_adapter(self) -> None:
        state = torch.get_rng_state()
        made, again = self.make(), self.make()
        for backbone in (made, again):
            backbone.add_adapter("one", seed=7)
            backbone.add_adapter("two", seed=8)
        assert torch.equal(state, torch.get_rng_state()), "global randomness was used"
        assert _equal(made.adapter_state("one"), again.adapter_state("one"))
        assert not _equal(made.adapter_state("one"), made.adapter_state("two"))

    def test_names_of_weights_are_the_same_for_all_adapters(self, backbone: Backbone) -> None:
        names = list(backbone.adapter_weights("main"))
        assert names == list(backbone.adapter_weights("other"))
        assert {backbone.part_of(name) for name in names} <= {"lora", *backbone.modalities}

    def test_copy_and_state_hold_everything(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        before = _logits(backbone, examples)
        kept = backbone.adapter_state("main")
        backbone.copy_adapter("main", "teacher")
        assert _equal(kept, backbone.adapter_state("teacher"))
        _disturb(backbone, "main", 9)
        assert not torch.equal(_logits(backbone, examples), before)
        assert not _equal(kept, backbone.adapter_state("main")), "adapter_state is not a copy"
        backbone.activate("teacher")
        self._close(_logits(backbone, examples), before, "a copied adapter answers differently")
        backbone.load_adapter("main", kept)
        backbone.activate("main")
        assert torch.equal(_logits(backbone, examples), before)
        with pytest.raises(KeyError):
            backbone.load_adapter("main", dict(list(kept.items())[1:]))

    def test_using_comes_back_and_blocks_gradients(self, backbone: Backbone) -> None:
        batch = backbone.batch(self.examples(backbone))
        backbone.module.train()
        with pytest.raises(ZeroDivisionError), backbone.using("other"):
            assert backbone.active == "other"
            assert not backbone.module.training
            assert not backbone.answer_logits(batch)[0].requires_grad
            raise ZeroDivisionError
        assert backbone.active == "main"
        torch.autograd.backward(backbone.loss(batch))
        assert all(w.grad is None for w in backbone.adapter_weights("other").values()), (
            "the other adapter has gradients"
        )

    def test_gradients_reach_the_active_adapter_only(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        torch.autograd.backward(backbone.loss(backbone.batch(examples)))
        weights = backbone.trainable(backbone.modalities)
        without = [name for name, weight in weights.items() if weight.grad is None]
        assert not without, f"no gradient: {without[:3]}"
        own = {id(weight) for weight in backbone.adapter_weights("main").values()}
        others = [n for n, w in backbone.module.named_parameters() if id(w) not in own and w.grad is not None]
        assert not others, f"gradients outside the adapter: {others[:3]}"

    def test_trainable_is_lora_and_the_asked_connectors(self, backbone: Backbone) -> None:
        connectors = {backbone.part_of(name) for name in backbone.adapter_weights("main")} - {"lora"}
        for modalities in (set(), set(sorted(backbone.modalities)[:1]), set(backbone.modalities)):
            parts = {backbone.part_of(name) for name in backbone.trainable(modalities)}
            assert parts == {"lora", *(modalities & connectors)}
        backbone.activate(None)
        assert not backbone.trainable(backbone.modalities)

    def test_adapters_come_and_go(self, backbone: Backbone) -> None:
        with pytest.raises(ValueError):
            backbone.add_adapter("main")
        with pytest.raises(ValueError):
            backbone.drop_adapter("main")
        calls: list[Callable[[str], object]] = [backbone.activate, backbone.drop_adapter, backbone.adapter_weights]
        for call in calls:
            with pytest.raises(KeyError):
                call("nobody")
        backbone.activate(None)
        backbone.drop_adapter("main")
        backbone.drop_adapter("other")
        assert list(backbone.adapters) == []
        backbone.add_adapter("again")
        backbone.activate("again")
        assert torch.isfinite(_logits(backbone, self.examples(backbone))).all()

    def _close(self, first: Tensor, second: Tensor, otherwise: str) -> None:
        assert torch.allclose(first.float(), second.float(), atol=self.tolerance, rtol=self.tolerance), otherwise


@torch.no_grad()
def _disturb(backbone: Backbone, name: str, seed: int) -> None:
    """Make an adapter differ from the base and from others."""
    drawn = torch.Generator().manual_seed(seed)
    for weight in backbone.adapter_weights(name).values():
        weight.add_(0.1 * torch.randn(weight.shape, generator=drawn).to(weight))


@torch.no_grad()
def _logits(backbone: Backbone, examples: Sequence[Example]) -> Tensor:
    return backbone.answer_logits(backbone.batch(examples))[0]


@torch.no_grad()
def _log_likelihood(backbone: Backbone, example: Example) -> Tensor:
    logits, labels = backbone.answer_logits(backbone.batch([example]))
    return -F.cross_entropy(logits.float(), labels, reduction="sum").cpu()


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
