"""Scoring rules of MLLM-CL (Zhao et al., arXiv 2506.05453).

The "release" rules are those of the authors' code (``ETrain/Eval/LLaVA/CoIN/eval_*.py``) and of published tables; the
"strict" rules replace them where they are lax or lossy. The release divides by the number of predictions, so that a
missing answer raises its score; here it counts as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Example, ExampleMetric, Score
from micl_metrics.references import ReferenceMetric
from micl_metrics.text import comparable

REFUSAL = "Unanswerable"
STATES = "Which states"
"""The phrase in MapQA's questions whose answer is a list."""

_EXACT = ("AI2D", "TQA", "VQA", "SciVerse")
_FORMULA = "Handwritten Mathematical Expression Recognition"
_RECOGNITION = (
    *("Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition"),
    *("Handwriting Recognition", "Digit String Recognition", "Non-Semantic Text Recognition"),
)


def refuses(answer: str, reference: str) -> bool:
    """Return whether an answer contains "unanswerable", whatever the case, and is not the reference."""
    return REFUSAL.lower() in answer.lower() and REFUSAL.lower() not in reference.lower()


def has_words(answer: str, reference: str) -> bool:
    """Return whether a reference occurs in an answer with no letter or digit next to it.

    A digit is also continued by a decimal: "1" does not occur in "1.5".
    """
    wanted = comparable(reference).rstrip(".")
    border = rf"(?<!\w)(?<!\d[.,]){re.escape(wanted)}(?!\w)(?![.,]\d)"
    return bool(wanted) and re.search(border, comparable(answer)) is not None


class Word(ReferenceMetric):
    """The share of answers that contain a reference as words, whatever the case, in 0..1: the strict rule.

    No letter or digit continues it on either side ("no" does not occur in "snow" or "a nose"). "Unanswerable" is wrong
    unless it is the reference.
    """

    name: ClassVar[str] = "mllm_word"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the reference occurs in the answer as words, else 0.0."""
        return float(not refuses(answer, reference) and has_words(answer, reference))


class RSRelease(ReferenceMetric):
    """RS and AD as released (``eval_ai2d.py``): containment, with borders of words on one side only.

    In lower case: a reference with a blank is contained in the reply. Full stops are removed from any other reference;
    in a reply with a blank, a blank must precede it, or a blank, full stop or comma follow it ("no" is found in "a
    nose" and "piano dog"); a reply without a blank need only contain it ("no" in "snow"). "Unanswerable" is wrong.
    """

    name: ClassVar[str] = "mllm_rs_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the release finds the reference in the answer, else 0.0."""
        reply, truth = answer.lower(), reference.lower()
        if REFUSAL in answer:
            return 0.0
        if " " in truth or " " not in reply:
            return float((truth if " " in truth else truth.replace(".", "")) in reply)
        word = truth.replace(".", "")
        return float(any(border in reply for border in (f" {word}", f"{word} ", f"{word}.", f"{word},")))


class MedRelease(ReferenceMetric):
    """Med as released (``eval_pvqa.py``): contained in the reply, whatever the case; "Unanswerable" is wrong."""

    name: ClassVar[str] = "mllm_med_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer contains the reference, else 0.0."""
        return float(REFUSAL not in answer and reference.lower() in answer.lower())


class FinRelease(ReferenceMetric):
    """Fin as released (``eval_finvis.py``): equality in lower case; "Unanswerable" is wrong.

    Blanks and full stops are removed from the reply only, so that no answer equals a reference which contains one.
    """

    name: ClassVar[str] = "mllm_fin_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the reply without blanks and full stops equals the reference, else 0.0."""
        reply = answer.replace(" ", "").replace(".", "").lower()
        return float(REFUSAL not in answer and reply == reference.lower())


class FinStrict(ReferenceMetric):
    """Fin by equality in lower case, with white space, and full stops at either end, removed from both texts."""

    name: ClassVar[str] = "mllm_fin_strict"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if both are equal, else 0.0."""
        return float(not refuses(answer, reference) and _bare(answer) == _bare(reference))


class SciRelease(ExampleMetric):
    """Sci as released (``eval_sci.py``): the rule depends on the image's file name before its first "_".

    AI2D, TQA, VQA and SciVerse: equality in lower case, unstripped ("A." is wrong for "A"). MapQA, that is any other:
    where the prompt contains "Which states", the share of the reference's pieces, split at "," and unstripped, that are
    pieces of the reply; else contained in the reply. "Unanswerable" is wrong. Needs "file" in an example's meta.
    """

    name: ClassVar[str] = "mllm_sci_release"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 or 0.0, or a share of states."""
        if REFUSAL in answer:
            return 0.0
        reply, truth = answer.lower(), example.references[0].lower()
        if _is_exact(example):
            return float(reply == truth)
        if STATES not in example.prompt:
            return float(truth in reply)
        states, named = truth.split(","), reply.split(",")
        return sum(state in named for state in states) / len(states)


class SciStrict(ExampleMetric):
    """Sci with the outer white space and full stops taken off, and with lists of states that may not be padded.

    AI2D, TQA, VQA and SciVerse: equality in lower case. MapQA: states in both lists / states in either (naming all
    states is not right); other questions: contained as words.
    """

    name: ClassVar[str] = "mllm_sci_strict"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 or 0.0, or a share of states."""
        reference = example.references[0]
        if refuses(answer, reference):
            return 0.0
        if _is_exact(example):
            return float(_trimmed(answer) == _trimmed(reference))
        if STATES not in example.prompt:
            return float(has_words(answer, reference))
        states, named = _states(reference), _states(answer)
        return len(states & named) / len(states | named) if states else 0.0


def _is_exact(example: Example) -> bool:
    return str(example.meta.get("file", "")).partition("_")[0] in _EXACT


def _states(text: str) -> set[str]:
    return {state for piece in text.split(",") if (state := _trimmed(piece).removeprefix("and "))}


def _trimmed(text: str) -> str:
    return comparable(text).strip(" .")


def _bare(text: str) -> str:
    return "".join(comparable(text).split()).strip(".")


class OCRRelease(ReferenceMetric):
    """OCR as released (``eval_ocr.py``): any reference is contained in the reply.

    In lower case, stripped, and with line breaks removed, so that the last word of a line and the first of the next
    become one. Handwritten formulas (by the category of an example): the case is kept, blanks and line breaks removed.

    Figures: the share of each category; "Text Recognition", of the six categories of recognition together; and "Final
    Score Norm", the number of right answers / 10 in a report, whatever the number of examples: the published figure,
    which is the share of right answers where there are 1,000 examples.
    """

    name: ClassVar[str] = "mllm_ocr_release"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the answer contains a reference, else 0.0."""
        form = _formula if example.meta.get("category") == _FORMULA else self.form
        return float(any(form(text) in form(answer) for text in example.references))

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer contains the reference, else 0.0."""
        return self.rate(answer, Example("", references=(reference,)))

    def form(self, text: str) -> str:
        """Return the text in the form that is compared."""
        return text.lower().strip().replace("\n", "")

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Rate each answer, and add the figures."""
        score = super().score_examples(answers, examples)
        pairs = zip(score.each, examples, strict=True)
        recognised = [value for value, example in pairs if example.meta.get("category") in _RECOGNITION]
        further = {"Final Score Norm": sum(score.each) / 1000}
        if recognised:
            further["Text Recognition"] = sum(recognised) / len(recognised)
        return score._replace(figures={**score.figures, **further})


class OCRStrict(OCRRelease):
    """OCR with white space replaced by blanks, so that lines stay apart, and with the common rule for characters."""

    name: ClassVar[str] = "mllm_ocr_strict"

    def form(self, text: str) -> str:
        """Return the text in the form that is compared."""
        return comparable(text)


def _formula(text: str) -> str:
    return text.strip().replace("\n", "").replace(" ", "")


class _Counting(ReferenceMetric):
    """Adds a figure for the questions whose task is Count."""

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Rate each answer, and add the figure for counting."""
        score = super().score_examples(answers, examples)
        pairs = zip(score.each, examples, strict=True)
        counted = [value for value, example in pairs if example.meta.get("task") == "Count"]
        further = {"Count": sum(counted) / len(counted)} if counted else {}
        return score._replace(figures={**score.figures, **further})


class VPRelease(_Counting):
    """VP as released (``eval_sat.py``): contained in the reply, without blanks, line breaks and "." on both sides.

    In lower case. "1" is contained in "12" and in "1.2", which becomes "12". Figures: the share of each category (2D,
    3D), and "Count".
    """

    name: ClassVar[str] = "mllm_vp_release"

    def similarity(self, answer: str, reference: str) -> float:
        """Return 1.0 if the answer contains the reference, else 0.0."""
        return float(_dense(reference) in _dense(answer))


class VPStrict(_Counting, Word):
    """VP by containment as words: "1" is contained in "1 dog", and not in "12 dogs"."""

    name: ClassVar[str] = "mllm_vp_strict"


def _dense(text: str) -> str:
    return text.lower().strip().replace(" ", "").replace("\n", "").replace(".", "")
