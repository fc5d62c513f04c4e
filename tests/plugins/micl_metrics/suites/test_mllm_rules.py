"""Rules in place of MLLM-CL's judges: values worked by hand from MathVista's comparison by type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Example
from micl_cli.testing import MetricContract
from micl_metrics.suites.mllm_rules import AppRules, MathRules

CHOICES = {"A": "2 cm", "B": "12 cm", "C": "none of these"}


def rate(answer: str, truth: str, prompt: str = "?", metric: Any = MathRules, **meta: Any) -> float:
    return float(metric().rate(answer, Example("1", (prompt,), (truth,), meta=meta)))


@pytest.mark.parametrize("truth", ["12 cm", "B", "(B)"])
@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("B", 1),
        ("(B)", 1),
        ("b.", 1),
        ("The answer is B.", 1),
        ("Not (A), so the answer is (B).", 1),
        ("It is 12 cm long", 1),
        ("the answer is 12 cm and not 2 cm", 0),
        ("2 cm", 0),
        ("A", 0),
        ("(A) or (B)", 0),
        ("", 0),
        ("I do not know", 0),
    ],
)
def test_choices(answer: str, truth: str, right: float) -> None:
    assert rate(answer, truth, choices=CHOICES) == right


def test_choices_are_read_from_the_prompt() -> None:
    prompt = "Which one?\nChoices:\n(A) red\n(B) green"
    assert [rate(answer, "green", prompt) for answer in ("B", "green", "it is (A)")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("7", "7", 1),
        ("There are 3 + 4 = 7 dogs", "7", 1),
        ("The answer is 7, not 8", "7", 1),
        ("**Answer:** 7", "7", 1),
        ("first 7, then 8", "7", 0),
        ("7.9", "7", 1),  # truncated, as MathVista does
        ("1,007", "1007", 1),
        ("-7", "7", 0),
        ("seven", "7", 0),
        ("x7", "7", 0),
        ("9" * 400, "7", 0),
        ("", "7", 0),
    ],
)
def test_integers(answer: str, truth: str, right: float) -> None:
    assert rate(answer, truth) == right
    assert rate(answer, truth, answer_type="integer") == right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("1.46", "1.5", 1),
        ("1.44", "1.5", 0),
        ("about 1.5 m", "1.5", 1),
        ("3/2", "1.5", 1),
        ("1/0", "1.5", 0),
        ("-1.5", "1.5", 0),
        (".5", "0.5", 1),
    ],
)
def test_decimals_are_rounded(answer: str, truth: str, right: float) -> None:
    assert rate(answer, truth) == right
    assert rate(answer, truth, answer_type="float", precision=1.0) == right


def test_the_precision_is_that_of_the_hint() -> None:
    hint = "Hint: Please answer the question requiring a floating-point number with two decimal places"
    assert [rate(answer, "1.5", hint) for answer in ("1.504", "1.51")] == [1, 0]


@pytest.mark.parametrize(
    ("answer", "right"), [("[1,2]", 1), ("It is [1, 2.0].", 1), ("[2, 1]", 0), ("1, 2", 0), ("[1, 2", 0)]
)
def test_lists(answer: str, right: float) -> None:
    assert rate(answer, "[1, 2]") == right


@pytest.mark.parametrize(("answer", "right"), [("Yes.", 1), ("The answer is: yes", 1), ("yes and no", 0), ("", 0)])
def test_texts(answer: str, right: float) -> None:
    assert rate(answer, "yes") == right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("B", "B", 1),
        ("Option B is best", "B", 1),
        ("C", "B", 0),
        ("(not published)", "(not published)", 1),
        ("A", "", 0),
    ],
)
def test_app_finds_the_letter(answer: str, truth: str, right: float) -> None:
    assert rate(answer, truth, metric=AppRules) == right


def test_app_knows_the_texts_of_its_choices() -> None:
    prompt = "Which icon?\nA. a bell\nB. a cup"
    assert [rate(answer, "B", prompt, AppRules) for answer in ("a cup", "a bell", "the B")] == [1, 0, 1]


@given(answer=st.text(max_size=20), truth=st.text(min_size=1, max_size=8))
def test_any_reply_is_right_or_wrong(answer: str, truth: str) -> None:
    for metric in (MathRules, AppRules):
        assert rate(answer, truth, metric=metric) in (0, 1)


@given(st.integers(-(10**9), 10**9))
def test_a_number_is_right_in_a_sentence(number: int) -> None:
    assert rate(f"I count them, and the answer is {number}.", str(number)) == 1
    assert rate(f"the answer is {number + 1}", str(number)) == 0


class TestMathRules(MetricContract):
    metric = MathRules


class TestAppRules(MetricContract):
    metric = AppRules
