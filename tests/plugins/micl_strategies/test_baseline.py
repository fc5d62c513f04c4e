"""The baselines answer from training texts alone, and their scores are those of an ordinary run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import ADAPTER, Example, Metric, Score, Stage, Task
from micl_cli.testing import ToyBackbone, toy_task
from micl_strategies.baseline import Baseline, FixedAnswers, most_frequent_answers

CAPTIONS = toy_task("image", "captioning")


def asked(prompt: str, *references: str, choices: Sequence[str] = (), task: str = "t") -> Example:
    return Example("x", (prompt,), tuple(references), tuple(choices), task=task)


def task_of(train: Sequence[Example], val: Sequence[Example] = (), type: str = "qa", name: str = "t") -> Task:
    return Task(name, frozenset(), type, "accuracy", load={"train": train, "val": val, "test": ()}.__getitem__)


def learnt(*tasks: Task, metric: Metric | None = None, seed: int = 0, candidates: int = 200) -> Baseline:
    strategy = Baseline(ToyBackbone(), candidates=candidates)
    metrics = {"accuracy": metric} if metric else {}
    for position, task in enumerate(tasks, 1):
        stage = Stage(position=position, tasks=[task], seed=seed, metrics=metrics)
        strategy.enter(stage, {})
        list(strategy.after(stage))
    return strategy


def test_a_question_is_answered_by_its_most_frequent_answer_in_training() -> None:
    train = [asked("colour?", "red"), asked("colour?", "blue"), asked("colour?", "blue"), asked("shape?", "box")]
    train += [asked("size?", "big"), asked("size?", "big"), asked("size?", "big")]
    strategy = learnt(task_of(train))
    assert strategy.answers([asked("colour?"), asked("shape?"), asked("never seen?")]) == ["blue", "box", "big"]


def test_a_multiple_choice_question_is_answered_by_one_of_its_choices() -> None:
    strategy = learnt(task_of([asked("which?", "cat"), asked("which?", "cat"), asked("other?", "dog")]))
    choices = [("dog", "cat"), ("cow", "dog"), ("hen", "cow")]
    assert strategy.answers([asked("which?", choices=own) for own in choices]) == ["cat", "dog", "hen"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1))
def test_no_other_fixed_answer_is_right_more_often(pairs: list[tuple[str, str]]) -> None:
    fixed = most_frequent_answers([asked(question, answer) for question, answer in pairs])
    for question in {question for question, _ in pairs}:
        own = [answer for other, answer in pairs if other == question]
        assert own.count(fixed.answer(asked(question))) == max(map(own.count, own))
    every = [answer for _, answer in pairs]
    assert every.count(fixed.answer(asked("never seen"))) == max(map(every.count, every))


def test_all_references_of_an_example_count() -> None:
    fixed = most_frequent_answers([asked("what?", "a", "b"), asked("what?", "c", "b")])
    assert fixed.answer(asked("what?")) == "b"


class Length(Metric):
    """Scores long answers above short ones, if the reference is "long", and the other way round."""

    name = "length"

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        each = tuple(len(a) * (1.0 if own[0] == "long" else -1.0) for a, own in zip(answers, references, strict=True))
        return Score(sum(each) / len(each), each)


@pytest.mark.parametrize(("wanted", "best"), [("long", "a bees"), ("short", "ox")])
def test_the_caption_with_the_best_validation_score_describes_every_medium(wanted: str, best: str) -> None:
    train = [asked("describe.", caption) for caption in ("a cat", "ox", "a bees", "hen", "a bees")]
    task = task_of(train, [asked("describe.", wanted)], "captioning")
    assert learnt(task, metric=Length()).answers([asked("describe.")] * 2) == [best, best]


def test_candidates_are_drawn_by_the_seed_in_any_order_of_the_tasks() -> None:
    train = [asked("describe.", f"caption {number}") for number in range(30)]
    one = task_of(train, train[:1], "captioning", "one")
    other = task_of(train, train[:1], "captioning", "other")

    def answer(*tasks: Task, seed: int) -> str:
        return learnt(*tasks, metric=Length(), seed=seed, candidates=1).answers([asked("describe.", task="one")])[0]

    assert answer(one, other, seed=0) == answer(other, one, seed=0)
    assert len({answer(one, seed=seed) for seed in range(8)}) > 1


def test_a_task_that_was_not_learnt_has_no_answer() -> None:
    strategy = learnt(task_of([asked("colour?", "red")]))
    assert strategy.answers([asked("colour?", task="other"), asked("?", choices="ab", task="other")]) == ["", "a"]


def test_the_answers_survive_a_checkpoint() -> None:
    strategy = learnt(task_of([asked("colour?", "red"), asked("shape?", "box")]))
    restored = Baseline(ToyBackbone())
    state = strategy.state()
    state.data = json.loads(json.dumps(state.data))
    restored.restore(state)
    questions = [asked("colour?"), asked("shape?"), asked("size?")]
    assert restored.answers(questions) == strategy.answers(questions)
    assert FixedAnswers().answer(asked("colour?")) == ""


def test_a_run_makes_no_pass_of_the_model(learn: Any, micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("the model was asked")

    for name in ("batch", "answer_logits", "generate", "score_choices"):
        monkeypatch.setattr(ToyBackbone, name, refused)
    code, out, err = learn("--json", "--strategy", "baseline", "--save-predictions", "--score", "choices")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["steps"] for event in events if event["event"] == "task_learned"] == [0, 0]
    (report,) = json.loads(micl("report", events[0]["run"], "--json").out)["runs"]
    (first, _), last = report["matrix"]
    assert last[0] == first
    assert last[1] > 0, "the most frequent answer is right now and then"
    exported = micl("predictions", events[0]["run"], "--task", report["tasks"][0])
    assert exported.code == 0, exported.err


def test_no_adapter_is_made() -> None:
    strategy = learnt(task_of([asked("colour?", "red")]))
    strategy.begin(strategy.stage)
    assert ADAPTER not in strategy.backbone.adapters.names
    assert list(strategy.trainable()) == []
    assert list(strategy.examples(strategy.stage)) == []
