"""The metric ``judge``: a local language model decides whether an answer says what the reference says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from micl_cli.api import Example, Metric, PlanError, Resources, Score, category_means
from micl_metrics.judge.checkpoint import find_model, model_digest
from micl_metrics.judge.prompt import TEMPLATE, Question, Verdict
from micl_metrics.judge.verdicts import Verdicts
from micl_metrics.words import mean

if TYPE_CHECKING:
    from micl_metrics.judge.model import JudgeModel

SCORE = "score (0-5)"
"""The figure with the mean of the scores from 0 to 5."""
_SHOWN = 100  # reports show figures x100
_RULES = 1_000_000


class Judge(Metric):
    """The share of answers that a judge model calls correct, in 0..1, as in Video-ChatGPT's evaluation.

    The model reads the question, the reference (several are joined by "or") and the answer. The verdict is "yes" if
    that word is more likely than "no" as the continuation of its reply, and the score is the most likely of 0 to 5
    after it: greedy decoding restricted to valid replies, so that no reply has to be parsed. An empty or missing answer
    is wrong, with score 0, and is not judged.

    The model is named by MICL_JUDGE_MODEL or ``judge_model`` in micl.toml. Verdicts are cached in the home folder by
    digest of the model, version of the prompt, question, reference and answer. ``version`` is a million times that of
    the prompt, plus six digits from the model's digest: scores of two judges cannot be compared.

    Deviation: the judge of published CL-VISTA scores is Qwen3-30B-A3B-Instruct-2507, with the release's prompt and
    free decoding. Figure: "score (0-5)", divided by 100, since reports show figures x100.
    """

    name: ClassVar[str] = "judge"
    # Set per instance: it depends on the model.
    version: int = TEMPLATE * _RULES  # type: ignore[misc]
    _resources: Resources | None = None

    def setup(self, resources: Resources) -> None:
        """Locate the judge's model and compute its digest. The model is loaded on first use. Raises PlanError."""
        if not resources.judge_model:
            raise _no_model()
        self._folder = find_model(resources.judge_model)
        digest = model_digest(self._folder, resources)
        self.version = TEMPLATE * _RULES + int(digest, 16) % _RULES
        self._verdicts = Verdicts(resources.home / "verdicts" / f"{digest[:16]}-{TEMPLATE}.sqlite")
        self._resources = resources

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers without their questions. Raises ValueError on unequal lengths, PlanError."""
        return self.score_examples(answers, [Example("", references=tuple(texts)) for texts in references])

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Judge answers. Raises ValueError on unequal lengths, PlanError if no model is set or it cannot be loaded."""
        if len(answers) != len(examples):
            raise ValueError(f"{len(answers)} answers to {len(examples)} examples")
        asked = [_question(answer, example) for answer, example in zip(answers, examples, strict=True)]
        verdicts = self._judged([question for question in dict.fromkeys(asked) if question.answer])
        found = [verdicts.get(question, Verdict(0.0, 0)) for question in asked]
        each = tuple(float(verdict.right) for verdict in found)
        points = mean([verdict.score for verdict in found]) / _SHOWN
        return Score(mean(each), each, {**category_means(each, examples), SCORE: points})

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return True without running the model: a judge distinguishes a reference from an empty answer."""
        return bool(references)

    def _judged(self, questions: Sequence[Question]) -> dict[Question, Verdict]:
        """Return the verdicts on questions, cached ones and new ones of the model."""
        if self._resources is None:
            raise _no_model()
        verdicts = self._verdicts.find(questions)
        missing = [question for question in questions if question not in verdicts]
        for fresh in self._model.judge(missing) if missing else ():
            self._verdicts.keep(fresh)
            verdicts |= fresh
        return verdicts

    @cached_property
    def _model(self) -> JudgeModel:
        from micl_metrics.judge.model import JudgeModel  # imports torch

        return JudgeModel(self._folder)


def _question(answer: str, example: Example) -> Question:
    return Question(example.prompt, " or ".join(example.references), answer.strip())


def _no_model() -> PlanError:
    return PlanError(
        "the metric judge needs a language model, and none is set",
        "Set MICL_JUDGE_MODEL, or judge_model in micl.toml, to its folder, or to the hub id of a downloaded one; "
        "or prepare the task with a scorer that needs none, such as --scorer rules.",
    )
