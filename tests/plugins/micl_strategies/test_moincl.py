"""MoInCL does what its paper says: teacher, pseudo targets, distillation, fusion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from micl_cli.api import Batch, Example, PlanError, Task, parse_options
from micl_cli.errors import OptionError
from micl_cli.plan import Evaluation
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies import cached_teacher, fusion
from micl_strategies.moincl import TEACHER, MoInCL

IMG_CAP, IMG_QA = toy_task("image", "captioning"), toy_task("image", "qa")
AUD_CAP, AUD_QA = toy_task("audio", "captioning"), toy_task("audio", "qa")


class Watched(ToyBackbone):
    """Records which adapter each forward pass went through, and on which examples."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.passes: list[tuple[Any, list[str]]] = []
        self.asked: list[str] = []

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.passes.append((self.adapters.active, [modality(example) for example in batch.examples]))
        return super().answer_logits(batch)

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        self.asked += captions
        return super().write_questions(captions)


def modality(example: Example) -> str:
    return "+".join(sorted(example.modalities))


def course(*tasks: Task, stage_options: dict[int, dict[str, Any]] | None = None, **options: Any) -> Course:
    """A course that has learnt all but the last of ``tasks``, and has begun that one."""
    made = Course(MoInCL(Watched(), **options), tasks, options=options, stage_options=stage_options)
    for position in range(1, len(tasks)):
        made.learn(position)
    made.begin(len(tasks))
    return made


def moincl(made: Course) -> MoInCL:
    assert isinstance(made.strategy, MoInCL)
    return made.strategy


def watched(made: Course) -> Watched:
    backbone = made.strategy.backbone
    assert isinstance(backbone, Watched)
    return backbone


def state(made: Course, name: str = "main") -> dict[str, Tensor]:
    return made.strategy.backbone.adapters.state(name)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# The teacher


def test_the_first_task_is_plain_fine_tuning() -> None:
    made = course(IMG_CAP)
    assert made.strategy.backbone.adapters.names == ("main",)
    made.step()
    assert watched(made).passes == [("main", ["image"] * 4)]


def test_the_teacher_is_the_model_as_it_stood_and_stays_so() -> None:
    made = Course(MoInCL(Watched()), [IMG_CAP, IMG_QA])
    made.learn(1)
    before = state(made)
    made.begin(2)
    assert same(state(made, TEACHER), before)
    made.rest()
    assert same(state(made, TEACHER), before)
    assert not same(state(made), before)


def test_the_teacher_goes_when_its_task_is_learnt() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.rest()
    made.finish()
    assert made.strategy.backbone.adapters.names == ("main",)
    assert made.strategy.backbone.adapters.active == "main"
    assert made.strategy.state().data == {"pseudo": []}


# Pseudo targets


def test_pseudo_captions_are_the_teacher_s_answers() -> None:
    made = course(IMG_CAP, IMG_QA)
    inputs = IMG_QA.examples("train")
    asked = [Example(e.id, (*e.media, IMG_CAP.instruction)) for e in inputs]
    with made.strategy.backbone.adapters.using(TEACHER):
        answers = made.strategy.backbone.generate(asked)
    found = [(s.content, s.target) for s in moincl(made).pseudo]
    expected = zip(inputs, answers, strict=True)
    assert found == [((*e.media, "describe the image."), answer) for e, answer in expected if answer]
    assert found


def test_pseudo_questions_are_written_from_the_true_captions() -> None:
    made = course(IMG_QA, IMG_CAP)
    inputs = IMG_CAP.examples("train")
    assert watched(made).asked == [e.references[0] for e in inputs]
    found = [(s.media, s.prompt, s.target) for s in moincl(made).pseudo]
    assert found == [(e.media, f"what follows {e.target.split()[-2]}?", e.target.split()[-1]) for e in inputs]


def test_captions_that_give_no_question_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Watched, "write_questions", lambda self, captions: [("what?", "it"), *[None] * (len(captions) - 1)]
    )
    assert [sample.target for sample in moincl(course(IMG_QA, IMG_CAP)).pseudo] == ["it"]


@pytest.mark.parametrize(
    ("tasks", "by_modality", "by_type"),
    [
        ((IMG_CAP, IMG_QA), True, True),
        ((IMG_CAP, AUD_QA), False, True),
        ((IMG_QA, AUD_CAP), False, True),
        ((IMG_QA, AUD_QA), False, False),
        ((IMG_CAP, AUD_CAP), False, False),
        ((AUD_QA, IMG_CAP, AUD_CAP), True, True),
    ],
    ids=lambda value: "+".join(task.short for task in value) if isinstance(value, tuple) else "",
)
def test_pseudo_targets_come_when_the_other_type_is_known(
    tasks: tuple[Task, ...], by_modality: bool, by_type: bool
) -> None:
    assert bool(moincl(course(*tasks)).pseudo) == by_modality
    assert bool(moincl(course(*tasks, pseudo_when="type")).pseudo) == by_type


def test_a_caption_asked_for_in_a_new_modality_names_it() -> None:
    pseudo = moincl(course(IMG_CAP, AUD_QA, pseudo_when="type")).pseudo
    assert {sample.prompt for sample in pseudo} == {"describe the audio."}


def test_a_medium_is_captioned_once_however_many_questions_it_has() -> None:
    twice = [e for e in IMG_QA.examples("train")[:3] for _ in range(2)]
    task = Task("toy/twice", frozenset({"image"}), "qa", "accuracy", load=lambda split: twice)
    media = [sample.media_key for sample in moincl(course(IMG_CAP, task)).pseudo]
    assert len(media) == len(set(media)) > 0


def test_so_many_join_each_batch() -> None:
    made = course(IMG_CAP, IMG_QA, pseudo_num=3, text_instruct_num=2)
    made.step()
    assert watched(made).passes[-1] == ("main", ["image"] * (4 + 3) + [""] * 2)
    off = course(IMG_CAP, IMG_QA, pseudo_num=0, text_instruct_num=0)
    off.step()
    assert (off.last.terms, watched(off).passes[-1]) == ({}, ("main", ["image"] * 4))


def test_pseudo_samples_are_on_the_media_of_the_batch_where_there_are_such() -> None:
    strategy = moincl(course(IMG_CAP, IMG_QA, pseudo_num=3))
    known = {sample.media for sample in strategy.pseudo}
    inputs = [e for e in IMG_QA.examples("train") if e.media in known]
    assert len(inputs) > 5
    drawn = strategy.batch(inputs[:4]).examples[4:7]
    assert len({s.media for s in drawn}) == 3 and {s.media for s in drawn} < {e.media for e in inputs[:4]}
    drawn = strategy.batch(inputs[:1]).examples[1:4]
    assert drawn[0].media == inputs[0].media
    assert len({s.media for s in drawn}) == 3


def test_a_batch_names_its_groups() -> None:
    strategy = moincl(course(IMG_CAP, IMG_QA, pseudo_num=3, text_instruct_num=2, replay=6, replay_batch=2))
    batch = strategy.batch(IMG_QA.examples("train")[:4])
    groups = {name: [batch.examples[i] for i in members] for name, members in batch.groups.items()}
    assert {name: len(members) for name, members in groups.items()} == {"new": 4 + 2, "pseudo": 3, "text": 2}
    assert all(example in strategy.pseudo for example in groups["pseudo"])
    assert all(example in strategy.texts for example in groups["text"])


def test_texts_and_pseudo_samples_have_ids_of_their_own() -> None:
    strategy = moincl(course(IMG_CAP, IMG_QA))
    ids = [example.id for example in (*strategy.texts, *strategy.pseudo, *IMG_QA.examples("train"))]
    assert len(set(ids)) == len(ids)


def test_modalities_are_known_as_a_whole() -> None:
    """A question on an image with a sound is none on an image alone."""
    sounds = AUD_QA.examples("train")
    both = [replace(e, content=(*e.media, *s.content)) for e, s in zip(IMG_QA.examples("train"), sounds, strict=True)]
    mixed = Task("toy/both", frozenset({"image", "audio"}), "qa", "accuracy", load=lambda split: both)
    assert moincl(course(IMG_CAP, mixed)).pseudo == []
    pseudo = moincl(course(IMG_CAP, mixed, pseudo_when="type")).pseudo
    assert {sample.prompt for sample in pseudo} == {"describe the audio and the image."}
    assert pseudo[0].modalities == {"image", "audio"}


def test_text_alone_has_nothing_to_be_captioned() -> None:
    questions = [Example(str(i), ("which?",), ("this",)) for i in range(8)]
    task = Task("toy/text", frozenset(), "qa", "accuracy", load=lambda split: questions)
    assert moincl(course(IMG_CAP, task, pseudo_when="type")).pseudo == []


# Distillation


class WithStates(Watched):
    """Its states are its logits."""

    provides = Watched.provides | {"states"}

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.answer_logits(batch)

    def project(self, states: Tensor) -> Tensor:
        return states


@pytest.mark.parametrize("room", ["all", "some", "none"])
def test_the_teacher_reads_each_sample_once_as_far_as_its_states_fit(
    room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_teacher, "CACHE_BYTES", {"all": 10**9, "some": cached_bytes() // 2, "none": 0}[room])
    made, read = [], []
    for backbone in (Watched(), WithStates()):
        each = Course(MoInCL(backbone), [IMG_CAP, IMG_QA])
        answer_together(each, 4)
        each.learn(1)
        each.begin(2)
        backbone.passes.clear()
        made.append([each.step() for _ in range(3)])
        read.append([len(modalities) for adapter, modalities in backbone.passes if adapter == TEACHER])
    assert made[1] == pytest.approx(made[0], rel=1e-5)
    assert read[0] == [8, 8, 8]
    wanted = {"all": read[1] == [], "some": 0 < sum(read[1]) < 24, "none": read[1] == [8, 8, 8]}
    assert wanted[room], read[1]


def answer_together(made: Course, count: int) -> None:
    """Let so many examples be answered or read together outside a step."""
    made.components.plan = replace(made.components.plan, evaluation=Evaluation(batch_size=count))


def cached_bytes() -> int:
    """What the states of all texts and pseudo samples take."""
    rehearsal = Course(MoInCL(WithStates()), [IMG_CAP, IMG_QA])
    rehearsal.learn(1)
    rehearsal.begin(2)
    return sum(states.nbytes for states in moincl(rehearsal).teacher.states.values())


def test_the_teacher_answers_and_reads_in_batches_and_in_a_step_s_number_format(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counting(WithStates):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []
            self.casting: list[bool] = []

        def generate(self, examples: Sequence[Example], **search: Any) -> list[str]:
            self._note(examples)
            return super().generate(examples, **search)

        def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
            self._note(batch.examples)
            return super().answer_states(batch)

        def _note(self, examples: Sequence[Example]) -> None:
            self.sizes.append(len(examples))
            self.casting.append(torch.is_autocast_enabled("cpu"))

    backbone = Counting()
    made = Course(MoInCL(backbone), [IMG_CAP, IMG_QA])
    made.learn(1)
    answer_together(made, 3)
    monkeypatch.setattr(made.components.accelerator, "autocast", lambda: torch.autocast("cpu", torch.bfloat16))
    backbone.sizes.clear()
    backbone.casting.clear()
    made.begin(2)
    assert {p.label for p in made.progress} == {"pseudo captions", "teacher states"}
    assert all(p.done <= (p.total or 0) for p in made.progress)
    assert len(backbone.sizes) > 5
    assert max(backbone.sizes) == 3
    assert all(backbone.casting)


def test_cached_states_are_there_again_after_going_on() -> None:
    made = Course(MoInCL(WithStates()), [IMG_CAP, IMG_QA])
    made.learn(1)
    made.begin(2)
    made.step()
    restored = Course(MoInCL(WithStates()), [IMG_CAP, IMG_QA])
    restored.resume(made.checkpoint())
    assert made.step() == restored.step()
    assert same(state(made), state(restored))


def test_one_pass_of_the_student_and_one_of_the_teacher_a_step() -> None:
    made = course(IMG_CAP, IMG_QA)
    watched(made).passes.clear()
    made.step()
    assert watched(made).passes == [
        (TEACHER, ["image"] * 4 + [""] * 4),
        ("main", ["image"] * 8 + [""] * 4),
    ]


def test_a_student_like_its_teacher_is_not_pulled() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.step()
    assert made.last.terms["pseudo_kl"] == pytest.approx(0, abs=1e-4)
    assert made.last.terms["text_kl"] == pytest.approx(0, abs=1e-4)
    made.step()
    assert made.last.terms["pseudo_kl"] > 0
    assert made.last.terms["text_kl"] > 0


def test_dropout_does_not_reach_the_teacher() -> None:
    backbone = Watched(dropout=0.3)
    made = Course(MoInCL(backbone), [IMG_CAP, IMG_QA])
    torch.manual_seed(0)
    made.learn(1)
    made.begin(2)
    strategy = moincl(made)
    batch = strategy.batch(IMG_QA.examples("train")[:2])
    first, second = (strategy.teacher.logits(batch.examples[2:]) for _ in range(2))
    assert torch.equal(first, second)
    assert backbone.module.training


@pytest.mark.parametrize("form", ["separate", "mean_over_all"])
def test_terms_are_those_of_two_models_on_the_same_answers(form: str) -> None:
    """Against two whole models, one example at a time, in numpy: nothing can be misaligned."""
    options = {"temperature": 3.0, "lambda_kl": 0.5, "lambda_text": 2.0, "pseudo_weight": 0.7, "loss": form}
    made = course(IMG_CAP, IMG_QA, **options)
    for _ in range(2):
        made.step()
    strategy = moincl(made)
    student, teacher = ToyBackbone(), ToyBackbone()
    for model, name in ((student, "main"), (teacher, TEACHER)):
        model.adapters.add("only")
        model.adapters.load("only", state(made, name))
        model.adapters.activate("only")
    batch = strategy.batch(IMG_QA.examples("train")[:4])
    terms = strategy.loss(batch)
    assert isinstance(terms, dict)
    new, pseudo, texts = batch.examples[:4], batch.examples[4:8], batch.examples[8:]
    on_new, on_pseudo = (negative_log_likelihoods(student, each) for each in (new, pseudo))
    separate = {"answers": float(np.mean(on_new)), "pseudo": 0.7 * float(np.mean(on_pseudo))}
    over_all = {"answers": (sum(on_new) + 0.7 * sum(on_pseudo)) / len([*on_new, *on_pseudo])}
    expected = {
        **(separate if form == "separate" else over_all),
        "pseudo_kl": 0.5 * divergence(student, teacher, pseudo, 3.0),
        "text_kl": 2.0 * divergence(student, teacher, texts, 3.0),
    }
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert min(expected.values()) > 1e-3


def test_the_paper_s_mean_is_the_loss_on_new_and_pseudo_samples_as_one_batch() -> None:
    made = course(IMG_CAP, IMG_QA, loss="mean_over_all")
    made.step()
    batch = moincl(made).batch(IMG_QA.examples("train")[:4])
    terms = made.strategy.loss(batch)
    assert isinstance(terms, dict)
    together = made.strategy.backbone.loss(made.strategy.backbone.batch(batch.examples[:8]))
    assert float(terms["answers"].detach()) == pytest.approx(float(together.detach()), rel=1e-4)


def log_probabilities(model: ToyBackbone, example: Example, temperature: float = 1.0) -> tuple[Any, list[int]]:
    with torch.no_grad():
        logits, labels = model.answer_logits(model.batch([example]))
    x = logits.double().numpy() / temperature
    return x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(
        -1, keepdims=True
    ), labels.tolist()


def negative_log_likelihoods(model: ToyBackbone, examples: Sequence[Example]) -> list[float]:
    found = [log_probabilities(model, example) for example in examples]
    return [float(-row[label]) for rows, labels in found for row, label in zip(rows, labels, strict=True)]


def divergence(student: ToyBackbone, teacher: ToyBackbone, examples: Sequence[Example], temperature: float) -> float:
    values: list[float] = []
    for example in examples:
        q, _ = log_probabilities(student, example, temperature)
        p, _ = log_probabilities(teacher, example, temperature)
        values += (np.exp(p) * (p - q)).sum(-1).tolist()
    return temperature**2 * float(np.mean(values))


def test_texts_come_from_a_named_file(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    path.write_text('one plain text\n\n{"text": "one of an object"}\n')
    strategy = moincl(course(IMG_CAP, IMG_QA, instructions=str(path)))
    assert [text.target for text in strategy.texts] == ["one plain text", "one of an object"]
    texts = {e.target for _ in range(9) for e in strategy.batch(IMG_QA.examples("train")[:1]).examples if not e.media}
    assert texts == {text.target for text in strategy.texts}


@pytest.mark.parametrize("content", ["{not json\n", '{"word": "no text"}\n', ""])
def test_a_file_without_texts_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "texts"
    path.write_text(content)
    with pytest.raises(PlanError) as refused:
        course(IMG_CAP, IMG_QA, instructions=str(path))
    assert refused.value.hint


def test_a_backbone_without_instructions_tells_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "instructions", lambda self: ())
    with pytest.raises(PlanError, match="has no instructions") as refused:
        course(IMG_CAP, IMG_QA)
    assert "-o instructions FILE" in refused.value.hint
    assert "-o text_instruct_num 0" in refused.value.hint
    course(IMG_CAP, IMG_QA, text_instruct_num=0)


# Fusion


@contextmanager
def unfused(made: Course) -> Iterator[list[dict[str, Tensor]]]:
    """The weights as they stand just before each fusion."""
    found: list[dict[str, Tensor]] = []

    def watched_fuse(*words: Any) -> None:
        found.append(state(made))
        fusion.fuse(*words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("micl_strategies.moincl.fuse", watched_fuse)
        yield found


def fused(new: Tensor, old: Tensor, alpha: float) -> Tensor:
    return (1 - alpha) * old + alpha * new


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_weights_are_fused_after_an_epoch(alpha: float) -> None:
    made = course(IMG_CAP, IMG_QA, alpha=alpha, fusion="epoch")
    teacher = state(made, TEACHER)
    with unfused(made) as before:
        for _ in range(made.state.steps_per_epoch):
            made.step()
    after = state(made)
    assert len(before) == 1
    for name, weight in after.items():
        if name.startswith("layers"):
            assert torch.allclose(weight, fused(before[0][name], teacher[name], alpha), atol=1e-6)
        else:
            assert torch.equal(weight, before[0][name]), "connectors are not fused unless asked for"


def test_or_every_so_many_steps() -> None:
    made = course(IMG_CAP, IMG_QA, fuse_every=2)
    teacher = state(made, TEACHER)
    with unfused(made) as before:
        made.step()
        assert not before
        made.step()
    after = state(made)
    assert all(
        torch.allclose(after[n], fused(before[0][n], teacher[n], 0.5), atol=1e-6)
        for n in after
        if n.startswith("layers")
    )
    with unfused(made) as before:
        made.rest()
    assert len(before) == 2, "steps 4 and 6 of 6, and no epoch's end"


def test_or_gradually_as_far_as_the_learning_rate_moves_the_weights() -> None:
    made = course(IMG_CAP, IMG_QA, alpha=0.3)
    teacher, schedule = state(made, TEACHER), made.strategy.schedule
    shares = []
    with unfused(made) as before:
        for step in range(schedule.steps):
            made.step()
            share = 0.3 ** (schedule.factor(step) / schedule.steps_per_epoch)
            after = made.strategy.backbone.adapters.state("main")
            for name in (name for name in after if name.startswith("layers")):
                torch.testing.assert_close(after[name], fused(before[-1][name], teacher[name], share))
            shares.append(share)
    assert len(before) == schedule.steps
    assert math.prod(shares[: schedule.steps_per_epoch]) > 0.3, "the rate falls within the epoch"
    assert shares == sorted(shares) and shares[-1] > 0.97, "the fusion ends with the rate"


@pytest.mark.parametrize(("fusion_", "fusions"), [("epoch", 1), ("gradual", 4)])
def test_fusion_can_end_before_learning(fusion_: str, fusions: int) -> None:
    made = course(IMG_CAP, IMG_QA, fusion=fusion_, fuse_until=0.7)
    assert (made.state.steps_planned, made.state.steps_per_epoch) == (6, 3)
    with unfused(made) as before:
        made.rest()
    assert len(before) == fusions


def test_alpha_can_follow_the_number_of_tasks() -> None:
    shares = [
        moincl(course(*tasks, alpha_rule="tasks")).share for tasks in ((IMG_CAP, IMG_QA), (IMG_CAP, IMG_QA, AUD_QA))
    ]
    assert shares == [1 / 2, 1 / 3]
    assert moincl(course(IMG_CAP, IMG_QA, alpha=0.3)).share == 0.3


@pytest.mark.parametrize(("tasks", "known"), [((IMG_CAP, IMG_QA), True), ((IMG_CAP, AUD_QA), False)])
def test_connectors_are_fused_where_their_modality_is_known(tasks: tuple[Task, ...], known: bool) -> None:
    made = course(*tasks, fuse_connectors=True, alpha=0.0, fusion="epoch")
    teacher, (modality,) = state(made, TEACHER), tasks[-1].modalities
    for _ in range(made.state.steps_per_epoch):
        made.step()
    weight = state(made)[f"connector.{modality}.weight"]
    assert torch.equal(weight, teacher[f"connector.{modality}.weight"]) == known


def test_the_first_task_is_not_fused() -> None:
    made, plain = course(IMG_CAP, alpha=0.1), course(IMG_CAP, alpha=1.0)
    made.rest()
    plain.rest()
    assert same(state(made), state(plain))


# Options for one stage, and going on


def test_options_hold_for_one_stage() -> None:
    made = course(IMG_CAP, IMG_QA, AUD_QA, pseudo_num=4, stage_options={2: {"alpha": 0.0}, 3: {"alpha": 1.0}})
    assert moincl(made).alpha == 1.0
    teacher = state(made, TEACHER)
    made.rest()
    assert not same(state(made), teacher)
    again = Course(MoInCL(Watched()), [IMG_CAP, IMG_QA], stage_options={2: {"alpha": 0.0, "pseudo_num": 0}})
    again.learn(1)
    before = state(again)
    again.begin(2)
    assert moincl(again).pseudo == []
    again.rest()
    after = state(again)
    assert all(torch.equal(after[name], before[name]) for name in after if name.startswith("layers"))


def test_the_next_step_after_going_on_is_the_same() -> None:
    made = course(IMG_CAP, IMG_QA)
    made.step()
    checkpoint = made.checkpoint()
    restored = Course(MoInCL(Watched()), [IMG_CAP, IMG_QA])
    restored.resume(checkpoint)
    assert moincl(restored).pseudo == moincl(made).pseudo
    assert watched(restored).asked == []
    assert all(adapter != TEACHER for adapter, _ in watched(restored).passes)
    assert made.step() == restored.step()
    assert made.last.terms == restored.last.terms
    assert same(state(made), state(restored))


def test_a_run_ends_with_finite_weights() -> None:
    made = course(IMG_CAP, IMG_QA, AUD_QA, AUD_CAP)
    losses = made.rest()
    made.finish()
    assert all(math.isfinite(loss) for loss in losses)
    assert all(torch.isfinite(weight).all() for weight in state(made).values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", -5),
        ("alpha", 1.5),
        ("temperature", 0),
        ("replay", -3),
        ("instructions", "/nope.txt"),
        ("lambda_kl", -1),
    ],
)
def test_values_that_cannot_work_are_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name):
        parse_options(MoInCL, {name: value}, owner="strategy moincl")
