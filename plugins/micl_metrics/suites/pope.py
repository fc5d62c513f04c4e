"""POPE (Li et al. 2023, arXiv 2305.10355): yes/no questions on the presence of objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from micl_cli.api import Example, ExampleMetric, Score, is_missing
from micl_metrics.words import mean

_NO = frozenset({"No", "no", "not"})
_WORD = re.compile(r"[a-z]+")


class POPE(ExampleMetric):
    """Accuracy in 0..1 over all questions, by the rule of the release.

    Only the text before the first full stop counts, without commas: it says no if "No", "no" or "not" is one
    of its words between blanks, and yes otherwise, so that an empty answer, and any other text, says yes. A missing
    answer says neither.

    Figures: the accuracy and F1 of each split, and the means over the splits of F1, precision, recall and the share of
    answers that say yes. "yes" is the positive class.
    """

    name: ClassVar[str] = "pope"

    def says(self, answer: str) -> str:
        """Return "yes", "no", or an empty string if the answer says neither."""
        words = answer.split(".")[0].replace(",", "").split(" ")
        return "no" if _NO & set(words) else "yes"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the answer is right, else 0.0."""
        return float(self.says(answer) == label(example))

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Score answers, with the figures of each split. Raises ValueError on unequal lengths."""
        score = super().score_examples(answers, examples)
        said = ["" if is_missing(answer) else self.says(answer) for answer in answers]
        splits: dict[str, list[tuple[str, str]]] = {}
        for word, example in zip(said, examples, strict=True):
            splits.setdefault(str(example.meta.get("category", "")), []).append((word, label(example)))
        by_split = {name: _figures(pairs) for name, pairs in splits.items()}
        means = {key: mean([figures[key] for figures in by_split.values()]) for key in _figures([])}
        f1 = {f"{name} f1": figures["f1"] for name, figures in by_split.items() if name}
        return score._replace(figures={**score.figures, **f1, **means})


class StrictPOPE(POPE):
    """As :class:`POPE`, but an answer must begin with yes or no, in any case; any other answer is wrong."""

    name: ClassVar[str] = "pope_strict"

    def says(self, answer: str) -> str:
        """Return "yes" or "no" if that is the first word, else an empty string."""
        word = _WORD.search(answer.lower())
        return word[0] if word and word[0] in ("yes", "no") else ""


def label(example: Example) -> str:
    """Return the label of an example, "yes" or "no"."""
    return example.references[0].strip().lower()


def _figures(pairs: Sequence[tuple[str, str]]) -> Mapping[str, float]:
    """Return F1, precision, recall and the share of "yes" of pairs (said, right); 0 where undefined."""
    hits = sum(pair == ("yes", "yes") for pair in pairs)
    said, right = sum(word == "yes" for word, _ in pairs), sum(word == "yes" for _, word in pairs)
    precision, recall = _ratio(hits, said), _ratio(hits, right)
    f1 = _ratio(2 * hits, said + right)
    return {"f1": f1, "precision": precision, "recall": recall, "yes": _ratio(said, len(pairs))}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
