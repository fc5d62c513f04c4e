"""What every backbone keeps: alignment, padding, adapters, answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api.backbone import IGNORE_INDEX, Backbone
from micl_cli.api.selection import combine
from micl_cli.api.task import Example
from micl_cli.errors import PlanError
from micl_cli.testing.adapters import AdapterTests, disturb
from micl_cli.testing.tasks import toy_examples, toy_media


class BackboneContract(AdapterTests):
    """Subclass it and give ``make``; pytest then runs these tests on what it returns.

    Media are made up; override ``examples`` where that does not do.
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
        made.adapters.add("main", seed=1)
        made.adapters.add("other", seed=2)
        disturb(made, "main", 3)
        disturb(made, "other", 4)
        made.adapters.activate("main")
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
            asked = Example("1", (f"{example.prompt} Answer in one word.",), (example.target,))
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
            first, second = [e.with_answer("red") for e in self.examples(backbone) if e.modalities == {modality}][:2]
            swapped = first.with_prompt(second.prompt).with_answer("red")
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
        examples = [e for e in self.examples(backbone) if e.media]
        asked = [e.with_prompt("what else is there to see or hear?", "nothing") for e in examples]
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
        example = next(e for e in self.examples(backbone) if e.modalities == ({modality} if modality else set()))
        weights = list(backbone.adapters.trainable({modality} if modality else set()).values())
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            torch.autograd.backward(backbone.loss(backbone.batch([example])))
            optimizer.step()
            if backbone.generate([example]) == [example.target]:
                break
        assert backbone.generate([example]) == [example.target]
        assert backbone.score_choices([example], [example.target, "something else"]).argmax() == 0

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
            backbone.adapters.activate(name)
            single[name] = backbone.generate(examples, max_new_tokens=6)
            searched[name] = backbone.generate(examples, max_new_tokens=6, num_beams=2)
        names = ["main", "other"] * (len(examples) // 2) + ["main"] * (len(examples) % 2)
        with backbone.adapters.using(combine(names)):
            mixed = backbone.generate(examples, max_new_tokens=6)
            beams = backbone.generate(examples, max_new_tokens=6, num_beams=2)
        assert mixed == [single[name][i] for i, name in enumerate(names)]
        assert beams == [searched[name][i] for i, name in enumerate(names)]
        assert single["main"] != single["other"], "the two adapters do not differ: nothing was tested"
        assert backbone.adapters.active == "other"

    def test_questions_on_one_medium_are_answered_as_each_alone(self, backbone: Backbone) -> None:
        shown = {e.modalities: e for e in self.examples(backbone) if e.media}.values()
        asked = [e.with_prompt(text) for e in shown for text in ("what else?", "which colour?", "is there more?")]
        alone = {}
        for name in ("main", "other"):
            backbone.adapters.activate(name)
            alone[name] = [backbone.generate([example], max_new_tokens=6)[0] for example in asked]
            assert backbone.generate(asked, max_new_tokens=6) == alone[name], "a question changes another's answer"
            if asked:
                single = [backbone.score_choices([example], ["yes", "no, it is not"])[0] for example in asked]
                together = backbone.score_choices(asked, ["yes", "no, it is not"])
                self._close(together, torch.stack(single), "a question changes what is chosen for another")
        names = ["main", "other", "main"] * len(shown)
        if not asked:
            return
        with backbone.adapters.using(combine(names)):
            mixed = backbone.generate(asked, max_new_tokens=6)
        assert mixed == [alone[name][i] for i, name in enumerate(names)]

    def test_answering_leaves_the_mode(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)[:1]
        for training in (True, False):
            backbone.module.train(training)
            backbone.generate(examples, max_new_tokens=2)
            backbone.score_choices(examples, ["yes", "no"])
            assert backbone.module.training == training

    def test_choices_are_normalised_and_count_as_whole_answers(self, backbone: Backbone) -> None:
        examples, choices = list(self.examples(backbone)), ["yes", "no", "perhaps it is so"]
        scores = backbone.score_choices(examples, choices)
        assert scores.shape == (len(examples), len(choices))
        assert not scores.requires_grad
        assert torch.allclose(scores.exp().sum(1), torch.ones(len(examples), device=scores.device), atol=1e-4)
        for row, example in enumerate(examples):
            totals = torch.stack([_log_likelihood(backbone, example.with_answer(choice)) for choice in choices])
            self._close(scores[row].cpu(), torch.log_softmax(totals, 0), "score_choices disagrees with answer_logits")

    def test_each_example_has_choices_of_its_own(self, backbone: Backbone) -> None:
        own = (("yes", "no"), ("a", "perhaps it is so", "c d"), ("one",))
        asked = [replace(e, choices=own[i % 3]) for i, e in enumerate(self.examples(backbone))]
        scores = backbone.score_choices(asked)
        assert scores.shape == (len(asked), 3)
        for row, example in enumerate(asked):
            alone = backbone.score_choices([example])[0]
            count = len(example.choices)
            self._close(scores[row, :count], alone[:count], "the choices of other examples change the score")
            assert (scores[row, count:] == -torch.inf).all(), "a missing choice has a chance"

    # Content

    @torch.no_grad()
    def test_content_is_read_in_its_order(self, backbone: Backbone) -> None:
        modality = min(backbone.modalities)
        first, second = [e.media[0] for e in self.examples(backbone) if e.modalities == {modality}][:2]
        contents = [
            (first, second, "which?"),
            (second, first, "which?"),
            (first, "which?"),
            (first, "and", second, "?"),
        ]
        examples = [Example(str(i), content, ("red",)) for i, content in enumerate(contents)]
        try:
            backbone.check(examples)
        except PlanError:
            pytest.skip("it takes one medium an example")
        logits = [backbone.answer_logits(backbone.batch([example]))[0][0] for example in examples]
        for i, one in enumerate(logits):
            assert not any(torch.equal(one, other) for other in logits[i + 1 :]), "order or number of media is ignored"
        together = backbone.answer_logits(backbone.batch(examples))[0].view(len(examples), -1, logits[0].shape[-1])
        self._close(together[:, 0], torch.stack(logits), "the logits depend on the other examples of the batch")
        assert len(backbone.generate(examples, max_new_tokens=4)) == len(examples)

    @torch.no_grad()
    def test_media_of_several_modalities_in_one_example(self, backbone: Backbone) -> None:
        media = [
            next(e.media[0] for e in self.examples(backbone) if e.modalities == {m})
            for m in sorted(backbone.modalities)
        ]
        asked = [Example("all", (*media, "what is it?"), ("red",)), Example("one", (media[0], "what is it?"), ("red",))]
        logits = [backbone.answer_logits(backbone.batch([example]))[0] for example in asked]
        assert len(media) == 1 or not torch.equal(*logits), "further media change nothing"
        assert len(backbone.generate(asked, max_new_tokens=4)) == 2
        assert len(set(map(tuple, backbone.features(asked).tolist()))) == (2 if len(media) > 1 else 1)

    def test_features_are_frozen_and_tell_media_apart(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        before = backbone.features(examples)
        assert before.ndim == 2
        assert len(before) == len(examples)
        assert not before.requires_grad
        assert torch.isfinite(before).all()
        assert len({tuple(row) for row in before.tolist()}) == len(examples), "different examples have equal features"
        for name in ("other", None):
            backbone.adapters.activate(name)
            assert torch.equal(before, backbone.features(examples)), "features depend on the adapter"

    def test_writes_questions_without_adapters(self, backbone: Backbone) -> None:
        if "questions" not in backbone.provides:
            pytest.skip("it does not write questions")
        captions = ["a red box", "a blue ring is turning"]
        written = backbone.write_questions(captions)
        assert len(written) == len(captions)
        assert all(pair is None or (len(pair) == 2 and all(pair)) for pair in written)
        backbone.adapters.activate("other")
        assert backbone.write_questions(captions) == written, "questions depend on the adapter"
        assert backbone.adapters.active == "other"


@torch.no_grad()
def _log_likelihood(backbone: Backbone, example: Example) -> Tensor:
    logits, labels = backbone.answer_logits(backbone.batch([example]))
    return -F.cross_entropy(logits.float(), labels, reduction="sum").cpu()
