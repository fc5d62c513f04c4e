"""MLLM-CL's scorers against values worked by hand from the rules of the release, and of the strict variants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Answer, Example, ExampleMetric
from micl_cli.testing import MetricContract
from micl_metrics.suites.mllm_cl import (
    FinRelease,
    FinStrict,
    MedRelease,
    OCRRelease,
    OCRStrict,
    RSRelease,
    SciRelease,
    SciStrict,
    VPRelease,
    VPStrict,
    Word,
)

METRICS = (
    *(FinRelease, FinStrict, MedRelease, OCRRelease, OCRStrict, RSRelease, SciRelease, SciStrict, VPRelease),
    *(VPStrict, Word),
)
FORMULA = "Handwritten Mathematical Expression Recognition"


def score(metric: type[ExampleMetric], answer: str, *references: str, prompt: str = "?", **meta: Any) -> float:
    return metric().score_examples([answer], [Example("1", (prompt,), references, meta=meta)]).value


@pytest.mark.parametrize(
    ("answer", "truth", "release", "word"),
    [
        ("No", "no", 1, 1),
        ("no.", "no", 1, 1),
        ("snow", "no", 1, 0),  # a reply of one word need only contain it
        ("a nose", "no", 1, 0),  # a blank before it is enough
        ("piano dog", "no", 1, 0),  # and so is one after it
        ("tornado, piano.", "no", 1, 0),  # or a full stop
        ("a knot here", "no", 0, 0),
        ("it is NO road", "no", 1, 1),
        ("yes or\nno", "no", 0, 1),  # a line break is no border
        ("urban area", "Urban.", 1, 1),
        ("a white van ahead", "white van", 1, 1),
        ("two white vans", "white van", 1, 0),  # contained, as it has a blank
        ("whitevan", "white van", 0, 0),
        ("Unanswerable", "unanswerable", 0, 1),
        ("Unanswerable, no", "no", 0, 0),
        ("unanswerable, no", "no", 1, 0),  # the release knows one spelling
        ("see 12 cars", "1", 1, 0),
        ("1.5 km", "1", 1, 0),
        ("10", "1", 1, 0),
        ("there are 1,000", "1", 1, 0),
        ("", "no", 0, 0),
    ],
)
def test_rs_and_ad(answer: str, truth: str, release: float, word: float) -> None:
    assert (score(RSRelease, answer, truth), score(Word, answer, truth)) == (release, word)


@pytest.mark.parametrize(
    ("answer", "truth", "release", "word"),
    [
        ("Normal tissue", "no", 1, 0),
        ("it is a Cell.", "a cell", 1, 1),
        ("a cell, Unanswerable", "a cell", 0, 0),
        ("cell", "a cell", 0, 0),
        ("x-ray", "X-Ray", 1, 1),
    ],
)
def test_med(answer: str, truth: str, release: float, word: float) -> None:
    assert (score(MedRelease, answer, truth), score(Word, answer, truth)) == (release, word)


@pytest.mark.parametrize(
    ("answer", "truth", "release", "strict"),
    [
        (" Y e s.", "Yes", 1, 1),
        ("A.", "a", 1, 1),
        ("yes\n", "yes", 0, 1),  # line breaks stay
        ("up trend", "up trend", 0, 1),  # a reference with a blank cannot be met
        ("A.", "A.", 0, 1),
        ("yes it does", "yes", 0, 0),
        ("1.5", "15", 1, 0),
        ("Unanswerable", "unanswerable", 0, 1),
    ],
)
def test_fin(answer: str, truth: str, release: float, strict: float) -> None:
    assert (score(FinRelease, answer, truth), score(FinStrict, answer, truth)) == (release, strict)


@pytest.mark.parametrize("source", ["AI2D", "TQA", "VQA", "SciVerse"])
@pytest.mark.parametrize(
    ("answer", "release", "strict"), [("a", 1, 1), ("A.", 0, 1), (" A", 0, 1), ("A dog", 0, 0), ("Unanswerable", 0, 0)]
)
def test_sci_needs_equality(source: str, answer: str, release: float, strict: float) -> None:
    file = f"{source}_12_A.png"
    assert (score(SciRelease, answer, "A", file=file), score(SciStrict, answer, "A", file=file)) == (release, strict)


@pytest.mark.parametrize(
    ("answer", "release", "strict"),
    [
        ("Ohio, Iowa, Utah", 1, 1),
        ("ohio, iowa", 2 / 3, 2 / 3),
        ("Utah, Ohio, Iowa", 1 / 3, 1),  # "Ohio" is not " Ohio", and only " Iowa" is the same piece
        ("Ohio,Iowa,Utah", 1 / 3, 1),
        ("Ohio, Iowa, Utah, Texas, Maine, Idaho", 1, 1 / 2),
        ("Ohio", 1 / 3, 1 / 3),
        ("Ohio, Iowa, and Utah.", 2 / 3, 1),
        ("Unanswerable, Iowa", 0, 0),
        ("", 0, 0),
    ],
)
def test_sci_counts_the_states_of_a_map(answer: str, release: float, strict: float) -> None:
    kinds = {"file": "MapQA_1.png", "prompt": "Which states have the highest value?"}
    truth = "Ohio, Iowa, Utah"
    assert score(SciRelease, answer, truth, **kinds) == pytest.approx(release)
    assert score(SciStrict, answer, truth, **kinds) == pytest.approx(strict)


@pytest.mark.parametrize(
    ("answer", "release", "strict"), [("10-20", 1, 1), ("It is 10-20.", 1, 1), ("110-200", 1, 0), ("10", 0, 0)]
)
def test_sci_finds_other_answers_on_a_map(answer: str, release: float, strict: float) -> None:
    for file in ("MapQA_1.png", "H_1.png"):
        assert score(SciRelease, answer, "10-20", file=file) == release
        assert score(SciStrict, answer, "10-20", file=file) == strict


@pytest.mark.parametrize(
    ("answer", "references", "category", "release", "strict"),
    [
        ("It says STOP.", ("stop", "halt"), "Regular Text Recognition", 1, 1),
        ("main\nstreet", ("main street",), "Scene Text-centric VQA", 0, 1),  # the release joins the lines
        ("mainstreet", ("main\nstreet",), "Scene Text-centric VQA", 1, 0),
        ("total $5.00", ("5.00",), "Key Information Extraction", 1, 1),
        ("unrelated", ("stop",), "Regular Text Recognition", 0, 0),
        ("x+Y", ("x + Y",), FORMULA, 1, 1),
        ("it is x\n+ Y", (" x+Y ",), FORMULA, 1, 1),
        ("X+Y", ("x + Y",), FORMULA, 0, 0),  # the case is kept
    ],
)
def test_ocr(answer: str, references: tuple[str, ...], category: str, release: float, strict: float) -> None:
    assert score(OCRRelease, answer, *references, category=category) == release
    assert score(OCRStrict, answer, *references, category=category) == strict


def test_ocr_sums_the_categories_up() -> None:
    categories = ["Regular Text Recognition", "Handwriting Recognition", "Doc-oriented VQA", "Doc-oriented VQA"]
    examples = [Example(str(number), ("?",), ("a",), meta={"category": name}) for number, name in enumerate(categories)]
    figures = OCRRelease().score_examples(["a", "b", "a", Answer("", missing=True)], examples).figures
    assert figures == {
        "Regular Text Recognition": 1.0,
        "Handwriting Recognition": 0.0,
        "Doc-oriented VQA": 0.5,
        "Text Recognition": 0.5,
        "Final Score Norm": 0.002,  # 2 right answers / 10 in percent
    }


@pytest.mark.parametrize(
    ("answer", "truth", "release", "strict"),
    [
        ("2", "2", 1, 1),
        ("There are 2 dogs.", "2", 1, 1),
        ("12", "2", 1, 0),
        ("1.2", "12", 1, 0),
        ("1 2", "12", 1, 0),
        ("( A )\n", "(A)", 1, 0),
        ("(A) the dog", "(A)", 1, 1),
        ("two", "2", 0, 0),
    ],
)
def test_vp(answer: str, truth: str, release: float, strict: float) -> None:
    assert (score(VPRelease, answer, truth), score(VPStrict, answer, truth)) == (release, strict)


@pytest.mark.parametrize("metric", [VPRelease, VPStrict])
def test_vp_scores_counting_and_dimensions_apart(metric: type[ExampleMetric]) -> None:
    metas = [("2D", "Count"), ("2D", "Relation"), ("3D", "Depth")]
    examples = [Example("1", ("?",), ("2",), meta={"category": kind, "task": task}) for kind, task in metas]
    result = metric().score_examples(["2", "3", "2"], examples)
    assert result.figures == {"2D": 0.5, "3D": 1.0, "Count": 1.0}


@pytest.mark.parametrize("metric", METRICS)
def test_a_missing_answer_is_wrong(metric: type[ExampleMetric]) -> None:
    examples = [Example(str(number), ("?",), ("red",)) for number in range(2)]
    result = metric().score_examples(["red", Answer("red", missing=True)], examples)
    assert (result.value, result.each) == (0.5, (1.0, 0.0))


@pytest.mark.parametrize("metric", METRICS)
@given(answer=st.text(max_size=12), truth=st.text(min_size=1, max_size=6), states=st.booleans())
def test_scores_are_shares(metric: type[ExampleMetric], answer: str, truth: str, states: bool) -> None:
    prompt = "Which states are red?" if states else "?"
    assert 0 <= score(metric, answer, truth, prompt=prompt) <= 1


words = st.text(st.sampled_from("abcdé1 "), min_size=1, max_size=8).filter(str.strip)


@given(truth=words, before=words, after=words)
def test_words_are_found_between_others(truth: str, before: str, after: str) -> None:
    assert score(Word, f"{before} {truth} {after}", truth) == 1.0
    assert score(Word, f"x{truth.strip()}x", truth) == 0.0


class TestWord(MetricContract):
    metric = Word


class TestRSRelease(MetricContract):
    metric = RSRelease


class TestMedRelease(MetricContract):
    metric = MedRelease


class TestFinStrict(MetricContract):
    metric = FinStrict


class TestSciRelease(MetricContract):
    metric = SciRelease


class TestSciStrict(MetricContract):
    metric = SciStrict


class TestOCRRelease(MetricContract):
    metric = OCRRelease


class TestOCRStrict(MetricContract):
    metric = OCRStrict


class TestVPRelease(MetricContract):
    metric = VPRelease


class TestVPStrict(MetricContract):
    metric = VPStrict


class TestFinRelease(MetricContract):
    metric = FinRelease
    references = (("yes",), ("no",), ("a",))
