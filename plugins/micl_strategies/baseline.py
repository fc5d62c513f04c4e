"""Baselines without a model: the scores that can be reached without looking at any medium.

Question-only: the answer that was most frequent in training for exactly the same question, else the most frequent
answer of the task. Constant caption: one caption for all media of a task, namely the one of up to ``candidates``
training captions that scores best on validation data. The backbone is not used; answers are stored and scored like
those of any run.

Deviations: none, these baselines have no paper. They are told the task of an example; examples of tasks that have not
been learnt get an empty answer. Without validation data, captions are compared on training examples.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from torch import nn

from micl_cli.api import CAPTIONING, Backbone, Example, Progress, Range, Stage, State, Strategy, Task


@dataclass(frozen=True)
class FixedAnswers:
    """The answers to one task: ``ranking`` by frequency, the first of which is the default, and those by question."""

    ranking: Sequence[str] = ()
    by_question: Mapping[str, str] = field(default_factory=dict)

    def answer(self, example: Example) -> str:
        """Return the answer to an example, one of its choices if it has any."""
        candidates = [self.by_question[example.prompt]] if example.prompt in self.by_question else []
        ranked = (*candidates, *self.ranking)
        if example.choices:
            return next((text for text in ranked if text in example.choices), example.choices[0])
        return next(iter(ranked), "")


class Baseline(Strategy):
    """Answer without a model: the most frequent answer to each question, and one caption for all media of a task."""

    needs = frozenset()

    def __init__(
        self,
        backbone: Backbone,
        *,
        candidates: Annotated[int, "number of training captions to try as the constant caption", Range(1)] = 200,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.candidates = candidates
        self._answers: dict[str, FixedAnswers] = {}

    # Nothing is trained

    def begin(self, stage: Stage) -> None:
        """Add no adapter."""

    def examples(self, stage: Stage) -> Sequence[Example]:
        return ()

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from ()

    # The answers to each task

    def after(self, stage: Stage) -> Iterator[Progress]:
        for task in stage.tasks:
            if task.type == CAPTIONING:
                self._answers[task.name] = FixedAnswers([(yield from self._constant_caption(task))])
            else:
                self._answers[task.name] = most_frequent_answers(task.examples("train"))

    def _constant_caption(self, task: Task) -> Generator[Progress, None, str]:
        """Return the training caption with the best score on validation data; of equals, the first drawn."""
        rng = random.Random(f"{self.stage.seed}/{task.name}/captions")  # the same in any order of the tasks
        captions = list(dict.fromkeys(example.target for example in task.examples("train")))
        drawn = rng.sample(captions, min(self.candidates, len(captions)))
        examples = task.examples("val") or task.examples("train")
        metric, best = self.stage.metrics[task.metric], (float("-inf"), "")
        for done, caption in enumerate(drawn, 1):
            value = metric.score_examples([caption] * len(examples), examples).value
            best = max(best, (value, caption), key=lambda scored: scored[0])
            yield Progress(done, len(drawn), "constant caption")
        return best[1]

    def answers(self, examples: Sequence[Example]) -> Sequence[str]:
        unknown = FixedAnswers()
        return [self._answers.get(example.task, unknown).answer(example) for example in examples]

    # Resuming

    def state(self) -> State:
        return State(data={name: [list(own.ranking), dict(own.by_question)] for name, own in self._answers.items()})

    def restore(self, state: State) -> None:
        self._answers = {name: FixedAnswers(*own) for name, own in state.data.items()}


def most_frequent_answers(examples: Sequence[Example]) -> FixedAnswers:
    """Return the answers of training examples by frequency, and the most frequent one of each question.

    All references of an example count. Equally frequent answers keep the order in which they occur.
    """
    overall: Counter[str] = Counter()
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        texts = example.references or (example.target,)
        overall.update(texts)
        by_question[example.prompt].update(texts)
    most_frequent = {question: counts.most_common(1)[0][0] for question, counts in by_question.items()}
    return FixedAnswers([text for text, _ in overall.most_common()], most_frequent)
