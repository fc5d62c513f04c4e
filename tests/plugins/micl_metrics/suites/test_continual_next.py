"""Continual-NExT's rules for choices, short answers and sentences."""

from __future__ import annotations

import pytest

from micl_metrics.sentence_cosine import SentenceCosine
from micl_metrics.suites.continual_next import ContinualNext, ContinualNextShort


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("A", "A", 1),
        (" A\n", "A", 1),
        ("a", "A", 0),
        ("A.", "A", 0),  # a choice is equal, not contained
        ("A dog", "A", 0),
        ("It is red.", "red", 1),
        ("Red", "red", 0),
        ("re", "red", 0),
        ("", "red", 0),
        ("12", "2", 1),
    ],
)
def test_choices_are_equal_and_short_answers_contained(answer: str, reference: str, value: float) -> None:
    assert ContinualNextShort().score([answer], [[reference]]).value == value


def test_only_long_answers_are_compared_by_their_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def embed(self: object, texts: list[str]) -> list[object]:
        import torch

        seen.extend(texts)
        return [torch.nn.functional.normalize(torch.tensor([1.0, float(len(text) % 2)]), dim=0) for text in texts]

    monkeypatch.setattr(SentenceCosine, "_model", type("Model", (), {"embed": embed})())
    long = "one two three four five six"  # 27 characters, so the vector (1, 1) / sqrt(2)
    score = ContinualNext().score(["red", "even", "B", "even"], [["red"], [long], ["A"], [long, "red"]])
    assert score.each == pytest.approx((1.0, 0.5**0.5, 0.0, 0.5**0.5))  # (1, 0) against (1, 1) / sqrt(2)
    assert score.value == pytest.approx((1 + 2 * 0.5**0.5) / 4)
    assert set(seen) == {"even", long}
