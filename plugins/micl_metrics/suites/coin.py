"""Scoring rules of CoIN: those of the release, and stricter ones.

Source of the "release" rules: ``llava/eval/CoIN/eval_*.py`` of the release (Chen et al. 2024). A missing answer is
wrong in all of them.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Example, ExampleMetric, Metric, PlanError, Score, is_missing
from micl_metrics.answers import normalise
from micl_metrics.boxes import Box, iou, to_box
from micl_metrics.iou50 import THRESHOLD
from micl_metrics.references import ReferenceMetric
from micl_metrics.vqa_accuracy import agreement
from micl_metrics.vqa_answers import normalise_vqa
from micl_metrics.words import mean, paired

_SINGLE = re.compile(r"\b\w\b")
_ANSWER_IS = re.compile(r"The answer is ([A-Z]).")
_OPTIONS = ("A", "B", "C", "D", "E")
_ONLY_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:]?")
_MARKED_LETTER = re.compile(r"\(?([A-Z])[.):]\s")
_NAMED_LETTER = re.compile(r"(?i:answer(?: is|:)?(?: option)?)\s*\(?([A-Z])(?!\w)")


class _OptionMetric(ReferenceMetric):
    """Compares the letter of the option in an answer with that in the reference."""

    @abstractmethod
    def letter(self, answer: str) -> str:
        """Return the upper-case letter of an answer, or an empty string if it has none."""

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer's letter is that of the reference, else 0.0."""
        return float(self.letter(answer) == first_letter(reference) != "")


def first_letter(text: str) -> str:
    """Return the first word character of ``text`` that stands alone, in upper case, or an empty string."""
    found = _SINGLE.search(text)
    return found[0].upper() if found else ""


class ScienceQARelease(_OptionMetric):
    """ScienceQA in CoIN's release: the share of answers with the right letter, in 0..1.

    The letter is the answer itself, or what stands before ". " at its beginning, or else the first word character that
    stands alone, upper-cased: that of "It is a dog: C" is "A", and that of "I think B" is "I". Without one, the answer
    is wrong.
    """

    name: ClassVar[str] = "coin_scienceqa_release"

    def letter(self, answer: str) -> str:
        """Return the first word character that stands alone. It covers the other two forms, which begin with it."""
        return first_letter(answer)


class ScienceQAAnswerIs(_OptionMetric):
    """ScienceQA in the copies of HiDe-LLaVA and SEFE, in 0..1.

    As the release, but where the letter is neither the answer itself nor followed by ". " at its beginning, only "The
    answer is A." names it, once, with any character in place of the full stop.
    """

    name: ClassVar[str] = "coin_scienceqa_answer_is"

    def letter(self, answer: str) -> str:
        """Return the letter that the answer names, or an empty string."""
        if answer[:1] in _OPTIONS and (len(answer) == 1 or answer[1:3] == ". "):
            return answer[0]
        found = _ANSWER_IS.findall(answer)
        return str(found[0]) if len(found) == 1 else ""


class ScienceQAStrict(_OptionMetric):
    """ScienceQA: the share of answers that name the right letter, in 0..1.

    An answer names a letter if it is that letter ("b", "B.", "(B)"), begins with it and a mark ("B. west", "B) west"),
    or says "answer is B" or "answer: B".
    """

    name: ClassVar[str] = "coin_scienceqa_strict"

    def letter(self, answer: str) -> str:
        """Return the letter that the answer names, or an empty string."""
        text = answer.strip()
        found = _ONLY_LETTER.fullmatch(text) or _MARKED_LETTER.match(text) or _NAMED_LETTER.search(text)
        return found[1].upper() if found else ""


class TextVQARelease(Metric):
    """TextVQA's own evaluation, in 0..1: VQA accuracy of ten answers, after EvalAI's normalisation.

    As "vqa_accuracy", but commas and question marks are deleted first, also between words, "'s" becomes a word, and an
    empty answer equals a reference of which nothing is left, such as "a".
    """

    name: ClassVar[str] = "coin_textvqa_release"

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers. Raises ValueError on unequal lengths or an answer without reference."""
        pairs = paired(answers, references)
        each = tuple(agreement(_equal(answer, texts), len(texts)) for answer, texts in pairs)
        return Score(mean(each), each)


def _equal(answer: str, texts: Sequence[str]) -> int:
    ours = normalise_evalai(answer)
    return 0 if is_missing(answer) else sum(ours == normalise_evalai(text) for text in texts)


def normalise_evalai(answer: str) -> str:
    """Normalise an answer as the evaluation of TextVQA does."""
    return normalise_vqa(answer.lower().replace(",", "").replace("?", "").replace("'s", " 's"))


class ImageNetRelease(ReferenceMetric):
    """ImageNet in CoIN's release: the answer contains the class, or the class the answer, in 0..1.

    Case counts. An empty answer is contained in every class, so it is right, and so is "a" for most.
    """

    name: ClassVar[str] = "coin_imagenet_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if one text contains the other, else 0.0."""
        return float(reference in answer or answer in reference)


class ClassRelease(ReferenceMetric):
    """ImageNet and Places365 in SMoLoRA's release: as CoIN's rule for ImageNet, whatever the case, in 0..1.

    One of the names of the class is part of the answer or the answer part of it (``eval_classification.py``). An empty
    answer is right.
    """

    name: ClassVar[str] = "cvit_class_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if one of both contains the other in upper case, else 0.0."""
        ours, theirs = answer.upper(), reference.upper()
        return float(theirs in ours or ours in theirs)


class ImageNetStrict(ReferenceMetric):
    """ImageNet: the share of answers that name the class in whole words, in 0..1.

    A class may have several names, separated by commas. Both texts are normalised as for "accuracy".
    """

    name: ClassVar[str] = "coin_imagenet_strict"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer contains one of the names, else 0.0."""
        names = filter(None, map(normalise, (reference, *reference.split(","))))
        return float(any(f" {name} " in f" {normalise(answer)} " for name in names))


class GQARelease(ReferenceMetric):
    """GQA in CoIN's release: the share of answers that equal the reference, in 0..1.

    Full stops at the end of the answer are taken off, and it is lower-cased; the reference is as it is.
    """

    name: ClassVar[str] = "coin_gqa_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if both are equal, else 0.0."""
        return float(answer.rstrip(".").lower() == reference)


class OCRVQARelease(ReferenceMetric):
    """OCR-VQA in CoIN's release: the share of answers that equal the reference in lower case, in 0..1.

    An answer with "Unanswerable" in it is wrong, whatever the reference.
    """

    name: ClassVar[str] = "coin_ocrvqa_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if both are equal in lower case, else 0.0."""
        return float("Unanswerable" not in answer and answer.lower() == reference.lower())


class GroundingRelease(ExampleMetric):
    """Grounding in CoIN's release: the share of boxes that overlap with the right one by an IoU over 0.5, in 0..1.

    Square brackets are removed wherever they are; then the first and last character are dropped, so that
    "[0.10, 0.2, 0.3, 0.45]" is read as .10, 0.2, 0.3, 0.4. What is left must be four numbers separated by commas, which
    are multiplied by the longer side of the image. The right box is ``bbox`` in the example's ``meta``, and multiplied
    too unless it is in pixels; ``size`` are the sides of the image.
    """

    name: ClassVar[str] = "coin_grounding_release"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the answer's box is right, else 0.0. Raises PlanError if the example has no box."""
        box = _released_box(answer)
        right = to_box(example.meta.get("bbox")) or next(filter(None, map(to_box, example.references)), None)
        if right is None:
            message = f"example {example.id or '(without id)'} of {example.task or 'the task'} has no box"
            raise PlanError(message, 'Write "bbox": [x1, y1, x2, y2] and "size": [width, height] in meta.')
        if box is None:
            return 0.0
        side = max(example.meta.get("size", (1, 1)))
        return float(iou(_times(box, side), _times(right, side) if right.normalised else right) > THRESHOLD)


def _released_box(answer: str) -> Box | None:
    try:
        numbers = [float(part) for part in answer.replace("[", "").replace("]", "")[1:-1].split(",")]
    except ValueError:
        return None
    return Box(*numbers) if len(numbers) == 4 and all(map(math.isfinite, numbers)) else None


def _times(box: Box, side: float) -> Box:
    return Box(*(side * value for value in box))
