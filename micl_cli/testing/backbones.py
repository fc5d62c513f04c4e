"""The contract of backbones: alignment of logits and labels, padding, adapters, answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api.backbone import IGNORE_INDEX, Backbone
from micl_cli.api.selection import combine
from micl_cli.api.task import Example
from micl_cli.errors import PlanError
from micl_cli.testing.adapters import AdapterTests, perturb
from micl_cli.testing.tasks import toy_examples, toy_media


class BackboneContract(AdapterTests):
    """Tests of a backbone, for subclasses that implement ``make``.

    Media are random; override ``examples`` if that does not suit the backbone. ``tolerance`` is the maximum difference
    of logits through rounding. ``steps`` and ``learning_rate`` must suffice to memorise one example.
    """

    tolerance: ClassVar[float] = 1e-3
    steps: ClassVar[int] = 80
    learning_rate: ClassVar[float] = 1e-2

    def make(self) -> Backbone:
        """Return a new backbone without adapters, always with the same weights."""
        raise NotImplementedError("return the backbone under test")

    def examples(self, backbone: Backbone) -> Sequence[Example]:
        """Return examples of different lengths, for each modality of the backbone and without media."""
        return toy_examples(sorted(backbone.modalities))

    @pytest.fixture
    def backbone(self) -> Backbone:
        """A backbone in evaluation mode with two adapters of different weights, of which "main" is active."""
        backbone = self.make()
        backbone.read = toy_media
        backbone.adapters.add("main", seed=1)
        backbone.adapters.add("other", seed=2)
        perturb(backbone, "main", 3)
        perturb(backbone, "other", 4)
        backbone.adapters.activate("main")
        backbone.module.eval()
        return backbone

    # Batches and losses

    def test_logits_are_at_answer_positions(self, backbone: Backbone) -> None:
        batch = backbone.batch(self.examples(backbone))
        logits, labels = backbone.answer_logits(batch)
        answers = batch.labels[:, 1:] != IGNORE_INDEX
        assert torch.equal(labels, batch.labels[:, 1:][answers]), "labels are not those of the batch, row by row"
        assert logits.shape[0] == len(labels) == len(batch.example_index)
        assert set(batch.example_index.tolist()) == set(range(len(batch))), "an example has no answer position"

    def test_labels_are_the_answer_tokens_only(self, backbone: Backbone) -> None:
        for example in self.examples(backbone):
            reworded = Example("1", (f"{example.prompt} Answer in one word.",), (example.target,))
            _, labels = backbone.answer_logits(backbone.batch([example]))
            _, others = backbone.answer_logits(backbone.batch([reworded]))
            assert labels.tolist() == others.tolist(), "the labels include tokens of the prompt or a medium"
            _, longer = backbone.answer_logits(backbone.batch([example.with_answer(f"{example.target} and more")]))
            assert len(longer) > len(labels)

    @torch.no_grad()
    def test_logits_are_causal(self, backbone: Backbone) -> None:
        for example in self.examples(backbone):
            first, labels = backbone.answer_logits(backbone.batch([example.with_answer("yes")]))
            second, others = backbone.answer_logits(backbone.batch([example.with_answer("no")]))
            assert labels[0] != others[0]
            self._assert_close(first[0], second[0], "the first logits depend on the answer")

    @torch.no_grad()
    def test_medium_and_prompt_affect_logits(self, backbone: Backbone) -> None:
        for modality in sorted(backbone.modalities):
            first, second = [e.with_answer("red") for e in self.examples(backbone) if e.modalities == {modality}][:2]
            swapped = first.with_prompt(second.prompt).with_answer("red")
            logits = [backbone.answer_logits(backbone.batch([e]))[0][0] for e in (first, second, swapped)]
            assert not torch.equal(logits[0], logits[2]), "the prompt has no effect"
            assert not torch.equal(logits[1], logits[2]), f"the {modality} has no effect"

    @torch.no_grad()
    def test_logits_do_not_depend_on_the_rest_of_the_batch(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)
        batch = backbone.batch(examples)
        batched, labels = backbone.answer_logits(batch)
        for row, example in enumerate(examples):
            single, own_labels = backbone.answer_logits(backbone.batch([example]))
            mask = (batch.example_index == row).to(labels.device)
            assert torch.equal(labels[mask], own_labels)
            self._assert_close(batched[mask], single, f"the logits of example {row} depend on the others in its batch")

    @torch.no_grad()
    def test_logits_do_not_depend_on_other_prompts_with_the_same_medium(self, backbone: Backbone) -> None:
        examples = [e for e in self.examples(backbone) if e.media]
        others = [e.with_prompt("what else is there to see or hear?", "nothing") for e in examples]
        repeated = [*examples, *others, *examples[:1]]
        batch = backbone.batch(repeated)
        batched, _ = backbone.answer_logits(batch)
        for row, example in enumerate(repeated):
            single, _ = backbone.answer_logits(backbone.batch([example]))
            mask = (batch.example_index == row).to(batched.device)
            self._assert_close(batched[mask], single, f"the logits of example {row} depend on others with its medium")

    @torch.no_grad()
    def test_projected_states_are_the_logits(self, backbone: Backbone) -> None:
        if "states" not in backbone.provides:
            pytest.skip("the backbone does not provide states")
        batch = backbone.batch(self.examples(backbone))
        logits, labels = backbone.answer_logits(batch)
        states, state_labels = backbone.answer_states(batch)
        assert states.shape[0] == len(state_labels) and states.shape[1] < logits.shape[1]
        assert torch.equal(state_labels, labels)
        self._assert_close(backbone.project(states), logits, "projected states differ from the logits")

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

    def test_memorises_and_generates_an_example(self, backbone: Backbone) -> None:
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

    def test_batched_generation_equals_single_generation(self, backbone: Backbone) -> None:
        examples = list(self.examples(backbone))
        batched = backbone.generate(examples, max_new_tokens=6)
        assert batched == [backbone.generate([example], max_new_tokens=6)[0] for example in examples]
        assert len(backbone.generate(examples, max_new_tokens=6, num_beams=2)) == len(examples)
        assert backbone.generate([]) == []

    def test_a_streamed_answer_is_the_generated_one(self, backbone: Backbone) -> None:
        for example in self.examples(backbone):
            for beams in (1, 2):
                pieces: list[str] = []
                streamed = backbone.stream(example, pieces.append, max_new_tokens=6, num_beams=beams)
                assert [streamed] == backbone.generate([example], max_new_tokens=6, num_beams=beams)
                assert "".join(pieces) == streamed, "the pieces are not the answer"

    def test_streaming_ends_where_the_receiver_raises(self, backbone: Backbone) -> None:
        class Enough(Exception):
            pass

        def refuse(piece: str) -> None:
            raise Enough

        examples, before = list(self.examples(backbone)), backbone.module.training
        answered = zip(examples, backbone.generate(examples, max_new_tokens=6), strict=True)
        example, answer = next(((e, [text]) for e, text in answered if text), (None, [""]))
        if example is None:
            pytest.skip("all answers are empty")
        with pytest.raises(Enough):
            backbone.stream(example, refuse, max_new_tokens=6)
        assert backbone.module.training == before
        assert backbone.generate([example], max_new_tokens=6) == answer, "an interrupted answer affects the next"

    def test_penalised_generation_equals_single_generation(self, backbone: Backbone) -> None:
        if "penalties" not in backbone.provides:
            pytest.skip("the backbone does not provide penalties")
        examples = list(self.examples(backbone))
        for beams in (1, 2):
            search: dict[str, Any] = {
                "max_new_tokens": 6,
                "num_beams": beams,
                "repetition_penalty": 1.5,
                "length_penalty": 0.0,
            }
            batched = backbone.generate(examples, **search)
            assert batched == [backbone.generate([example], **search)[0] for example in examples]

    def test_batches_of_mixed_adapters_equal_single_adapters(self, backbone: Backbone) -> None:
        examples = list(self.examples(backbone))
        greedy, beams = {}, {}
        for name in ("main", "other"):
            backbone.adapters.activate(name)
            greedy[name] = backbone.generate(examples, max_new_tokens=6)
            beams[name] = backbone.generate(examples, max_new_tokens=6, num_beams=2)
        names = ["main", "other"] * (len(examples) // 2) + ["main"] * (len(examples) % 2)
        with backbone.adapters.using(combine(names)):
            mixed_greedy = backbone.generate(examples, max_new_tokens=6)
            mixed_beams = backbone.generate(examples, max_new_tokens=6, num_beams=2)
        assert mixed_greedy == [greedy[name][i] for i, name in enumerate(names)]
        assert mixed_beams == [beams[name][i] for i, name in enumerate(names)]
        assert greedy["main"] != greedy["other"], "the two adapters do not differ: nothing was tested"
        assert backbone.adapters.active == "other"

    def test_questions_on_one_medium_do_not_affect_each_other(self, backbone: Backbone) -> None:
        with_media = {e.modalities: e for e in self.examples(backbone) if e.media}.values()
        questions = [e.with_prompt(t) for e in with_media for t in ("what else?", "which colour?", "is there more?")]
        answers = {}
        for name in ("main", "other"):
            backbone.adapters.activate(name)
            answers[name] = [backbone.generate([question], max_new_tokens=6)[0] for question in questions]
            assert backbone.generate(questions, max_new_tokens=6) == answers[name], (
                "a question affects another's answer"
            )
            if questions:
                single = [backbone.score_choices([question], ["yes", "no, it is not"])[0] for question in questions]
                batched = backbone.score_choices(questions, ["yes", "no, it is not"])
                self._assert_close(batched, torch.stack(single), "a question affects the choice scores of another")
        names = ["main", "other", "main"] * len(with_media)
        if not questions:
            return
        with backbone.adapters.using(combine(names)):
            mixed = backbone.generate(questions, max_new_tokens=6)
        assert mixed == [answers[name][i] for i, name in enumerate(names)]

    def test_answering_does_not_change_the_mode(self, backbone: Backbone) -> None:
        examples = self.examples(backbone)[:1]
        for training in (True, False):
            backbone.module.train(training)
            backbone.generate(examples, max_new_tokens=2)
            backbone.score_choices(examples, ["yes", "no"])
            assert backbone.module.training == training

    def test_choices_are_normalised_and_scored_as_whole_answers(self, backbone: Backbone) -> None:
        examples, choices = list(self.examples(backbone)), ["yes", "no", "perhaps it is so"]
        scores = backbone.score_choices(examples, choices)
        assert scores.shape == (len(examples), len(choices))
        assert not scores.requires_grad
        assert torch.allclose(scores.exp().sum(1), torch.ones(len(examples), device=scores.device), atol=1e-4)
        for row, example in enumerate(examples):
            totals = torch.stack([_log_likelihood(backbone, example.with_answer(choice)) for choice in choices])
            message = "score_choices disagrees with answer_logits"
            self._assert_close(scores[row].cpu(), torch.log_softmax(totals, 0), message)

    def test_examples_may_have_different_choices(self, backbone: Backbone) -> None:
        choices = (("yes", "no"), ("a", "perhaps it is so", "c d"), ("one",))
        examples = [replace(e, choices=choices[i % 3]) for i, e in enumerate(self.examples(backbone))]
        scores = backbone.score_choices(examples)
        assert scores.shape == (len(examples), 3)
        for row, example in enumerate(examples):
            single = backbone.score_choices([example])[0]
            count = len(example.choices)
            self._assert_close(scores[row, :count], single[:count], "the choices of other examples affect the score")
            assert (scores[row, count:] == -torch.inf).all(), "a missing choice has a probability above zero"

    # Content

    @torch.no_grad()
    def test_order_of_content_affects_logits(self, backbone: Backbone) -> None:
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
            pytest.skip("the backbone takes one medium per example")
        logits = [backbone.answer_logits(backbone.batch([example]))[0][0] for example in examples]
        for i, one in enumerate(logits):
            assert not any(torch.equal(one, other) for other in logits[i + 1 :]), "order or number of media is ignored"
        batched = backbone.answer_logits(backbone.batch(examples))[0].view(len(examples), -1, logits[0].shape[-1])
        self._assert_close(batched[:, 0], torch.stack(logits), "the logits depend on the other examples of the batch")
        assert len(backbone.generate(examples, max_new_tokens=4)) == len(examples)

    @torch.no_grad()
    def test_media_of_several_modalities_in_one_example(self, backbone: Backbone) -> None:
        media = [
            next(e.media[0] for e in self.examples(backbone) if e.modalities == {m})
            for m in sorted(backbone.modalities)
        ]
        examples = [Example(f"{len(m)}", (*m, "what is it?"), ("red",)) for m in (media, media[:1])]
        logits = [backbone.answer_logits(backbone.batch([example]))[0] for example in examples]
        assert len(media) == 1 or not torch.equal(*logits), "only the first medium has an effect"
        assert len(backbone.generate(examples, max_new_tokens=4)) == 2
        assert len(set(map(tuple, backbone.features(examples).tolist()))) == (2 if len(media) > 1 else 1)

    def test_features_are_frozen_and_distinguish_media(self, backbone: Backbone) -> None:
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
            pytest.skip("the backbone does not generate questions")
        captions = ["a red box", "a blue ring is turning"]
        pairs = backbone.write_questions(captions)
        assert len(pairs) == len(captions)
        assert all(pair is None or (len(pair) == 2 and all(pair)) for pair in pairs)
        backbone.adapters.activate("other")
        assert backbone.write_questions(captions) == pairs, "questions depend on the adapter"
        assert backbone.adapters.active == "other"


@torch.no_grad()
def _log_likelihood(backbone: Backbone, example: Example) -> Tensor:
    logits, labels = backbone.answer_logits(backbone.batch([example]))
    return -F.cross_entropy(logits.float(), labels, reduction="sum").cpu()
