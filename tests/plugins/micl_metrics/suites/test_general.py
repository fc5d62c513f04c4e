"""The rules of POPE, MME and MMBench against values worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Answer, Example
from micl_metrics.suites.mmbench import MMBench
from micl_metrics.suites.mme import MME, says
from micl_metrics.suites.pope import POPE, StrictPOPE


def questions(labels: Sequence[str], category: str = "random") -> list[Example]:
    return [Example(str(i), references=(label,), meta={"category": category}) for i, label in enumerate(labels)]


# POPE


@pytest.mark.parametrize(
    ("answer", "release", "strict"),
    [
        ("yes", "yes", "yes"),
        ("Yes, there is.", "yes", "yes"),
        ("No", "no", "no"),
        ("no.", "no", "no"),
        ("NO", "yes", "no"),  # the release knows "No" and "no"
        ("No, there is not.", "no", "no"),
        ("There is no dog", "no", ""),
        ("It is not there", "no", ""),
        ("There is a dog. It is not big.", "yes", ""),  # only the first sentence counts
        ("nothing", "yes", ""),
        ("", "yes", ""),  # a quirk of the release
        ("a\nno", "yes", ""),  # words lie between blanks
        ("yes or no", "no", "yes"),
    ],
)
def test_pope_reads_answers_as_the_release_does(answer: str, release: str, strict: str) -> None:
    assert POPE().says(answer) == release
    assert StrictPOPE().says(answer) == strict


def test_popes_figures_by_hand() -> None:
    """Three hits, one false alarm, one miss, one right no: precision 3/4, recall 3/4, F1 3/4, accuracy 4/6, yes 4/6."""
    examples = questions(["yes", "yes", "yes", "no", "yes", "no"])
    score = POPE().score_examples(["yes", "Yes", "yes", "yes", "no", "no"], examples)
    assert score.value == pytest.approx(4 / 6)
    assert score.each == (1, 1, 1, 0, 0, 1)
    assert score.figures == pytest.approx(
        {"random": 4 / 6, "random f1": 0.75, "f1": 0.75, "precision": 0.75, "recall": 0.75, "yes": 4 / 6}
    )


def test_popes_figures_are_means_over_the_splits() -> None:
    examples = [*questions(["yes"], "random"), *questions(["yes", "no", "no"], "popular")]
    figures = POPE().score_examples(["yes", "yes", "yes", "no"], examples).figures
    assert figures["random f1"] == 1
    assert figures["popular f1"] == pytest.approx(2 / 3)
    assert figures["f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["yes"] == pytest.approx((1 + 2 / 3) / 2)


def test_a_missing_answer_is_wrong_and_says_nothing() -> None:
    score = POPE().score_examples([Answer("", missing=True), "yes"], questions(["yes", "yes"]))
    assert score.each == (0, 1)
    assert (score.figures["recall"], score.figures["precision"], score.figures["yes"]) == (0.5, 1, 0.5)


def test_an_empty_answer_says_yes_in_the_release_only() -> None:
    assert POPE().score_examples([""], questions(["yes"])).value == 1
    assert StrictPOPE().score_examples([""], questions(["yes"])).value == 0


@given(st.lists(st.tuples(st.sampled_from(["yes", "No.", "", "a dog"]), st.sampled_from(["yes", "no"])), min_size=1))
def test_popes_figures_do_not_depend_on_the_order(pairs: list[tuple[str, str]]) -> None:
    answers, labels = [answer for answer, _ in pairs], [right for _, right in pairs]
    for metric in (POPE(), StrictPOPE()):
        score = metric.score_examples(answers, questions(labels))
        reverse = metric.score_examples(answers[::-1], questions(labels[::-1]))
        assert score.figures == pytest.approx(reverse.figures)
        assert all(0 <= figure <= 1 for figure in (score.value, *score.figures.values()))


# MME


def pair(category: str, image: int, labels: Sequence[str] = ("Yes", "No")) -> list[Example]:
    meta = {"category": category, "group": f"{category}/{image}"}
    return [Example(f"{category}/{image}/{i}", references=(label,), meta=meta) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("NO!", "no"),
        (" yes", "yes"),
        ("It is no", ""),
        ("Know", "no"),
        ("", ""),
        ("ye", ""),
    ],
)
def test_mme_looks_at_four_characters(answer: str, said: str) -> None:
    assert says(answer) == said


def test_mmes_points_by_hand() -> None:
    """Existence: 3 of 4 right, one of two images: 75 + 50 points. Code reasoning: 1 of 2, no image: 50 + 0."""
    examples = [*pair("existence", 1), *pair("existence", 2), *pair("code_reasoning", 1)]
    score = MME().score_examples(["Yes", "No", "Yes", "Yes", "No", "No"], examples)
    assert score.each == (1, 1, 1, 0, 0, 1)
    assert score.value == pytest.approx((125 + 50) / 400)
    assert score.figures == pytest.approx(
        {
            "existence": 0.75,
            "code_reasoning": 0.5,
            "perception": 1.25,  # reports show 125 points
            "cognition": 0.5,
            "existence points": 1.25,
            "code_reasoning points": 0.5,
        }
    )


def test_all_right_is_everything_and_missing_is_wrong() -> None:
    examples = [*pair("count", 1), *pair("OCR", 1)]
    assert MME().score_examples(["Yes", "No"] * 2, examples).value == 1
    missing = MME().score_examples(["Yes", Answer("No", missing=True), "Yes", "No"], examples)
    assert missing.value == pytest.approx((50 + 0 + 200) / 400)


@given(st.lists(st.sampled_from(["Yes", "No", "", "perhaps"]), min_size=6, max_size=6))
def test_mme_stays_between_nothing_and_all(answers: list[str]) -> None:
    examples = [*pair("scene", 1), *pair("scene", 2), *pair("color", 1)]
    score = MME().score_examples(answers, examples)
    assert 0 <= score.value <= 1
    assert score.value == pytest.approx((score.figures["perception"] + score.figures["cognition"]) / 4)


# MMBench


def circle(name: str, category: str, right: str) -> list[Example]:
    """A question in three rotations; ``right`` holds the letter of each."""
    return [
        Example(
            f"{name}{rotation}",
            references=(letter,),
            meta={
                "category": category,
                "group": name,
                "rotation": rotation,
                "choices": dict(zip("ABC", ("a cat", "a dog", "a cow"), strict=True)),
            },
        )
        for rotation, letter in enumerate(right)
    ]


def test_a_question_counts_only_if_all_its_rotations_are_right() -> None:
    examples = [*circle("1", "animals", "ABC"), *circle("2", "animals", "BCA"), *circle("3", "colours", "CAB")]
    answers = ["A", "B.", "(C)", "B", "C", "B", "C", "A", "B"]
    score = MMBench().score_examples(answers, examples)
    assert score.value == pytest.approx(2 / 3)
    assert score.figures == pytest.approx({"animals": 0.5, "colours": 1, "vanilla": 1})
    assert score.each == (1, 1, 1, 1, 1, 0, 1, 1, 1)


def test_a_missing_rotation_fails_its_question() -> None:
    answers = ["A", Answer("", missing=True), "C"]
    assert MMBench().score_examples(answers, circle("1", "animals", "ABC")).value == 0


@pytest.mark.parametrize(
    ("answer", "right"),
    [("A", 1), ("a", 1), ("The answer is A.", 1), ("a cat", 1), ("It is a cat", 1), ("B", 0), ("", 0)],
)
def test_an_answer_may_name_the_option(answer: str, right: int) -> None:
    assert MMBench().rate(answer, circle("1", "animals", "A")[0]) == right


def test_guessing_the_same_letter_wins_nothing() -> None:
    examples = [*circle("1", "animals", "ABC"), *circle("2", "animals", "BCA")]
    assert MMBench().score_examples(["A"] * 6, examples).value == 0
