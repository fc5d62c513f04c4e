from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.records import PredictionRecord
from micl_cli.report.html.answers import AnsweredExample

SCORES = st.none() | st.floats(0, 1000, allow_nan=False)


def example(scores: dict[int, float | None], learnt: int | None = 1) -> AnsweredExample:
    answers = {stage: PredictionRecord("7", "a", ("b",), score) for stage, score in scores.items()}
    return AnsweredExample(id="7", answers=answers, learnt=learnt)


def test_an_answer_is_wrong_with_a_score_of_zero_or_if_it_is_missing() -> None:
    assert example({0: 0.0, 1: 100.0, 2: 5e-324, 3: None}).wrong == [0, 2]
    missing = AnsweredExample(id="7", answers={1: PredictionRecord("7", "", (), None, missing=True)})
    assert missing.wrong == [1]


def test_an_example_is_forgotten_while_less_than_half_of_its_score_is_left() -> None:
    assert example({0: 0.0, 1: 100.0, 2: 50.0, 3: 49.0, 4: 100.0, 5: 0.0}).forgotten == [3, 5]


def test_what_was_never_right_or_not_learnt_is_not_forgotten() -> None:
    assert example({1: 0.0, 2: 0.0}).forgotten == []
    assert example({1: 100.0, 2: 0.0}, learnt=None).forgotten == []
    assert example({2: 0.0, 3: 0.0}, learnt=1).forgotten == []


def test_answers_before_a_task_is_learnt_are_not_forgotten() -> None:
    assert example({1: 0.0, 2: 10.0, 3: 100.0, 4: 10.0}, learnt=3).forgotten == [4]


@given(st.dictionaries(st.integers(0, 6), SCORES, min_size=1), st.none() | st.integers(1, 6))
def test_stages_that_are_named_have_answers_and_forgotten_ones_follow_learning(
    scores: dict[int, float | None], learnt: int | None
) -> None:
    shown = example(scores, learnt)
    assert set(shown.wrong) <= set(scores)
    assert all(stage in scores and learnt is not None and stage > learnt for stage in shown.forgotten)
    assert shown.references == ("b",)
