"""Answering the questions of a task and scoring the answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from micl_cli.api.events import CHOICES, UNSURE, Answered, Event, Routed, Scored
from micl_cli.api.selection import Selection, combine
from micl_cli.api.strategy import Route
from micl_cli.api.task import CHOICE, Example, Task
from micl_cli.errors import PlanError
from micl_cli.training.components import RunComponents

Pause = Callable[[], None]
"""Called before each batch; it may raise to stop."""


def _go_on() -> None:
    """Do not stop."""


@dataclass
class Routing:
    """The routes of a task's examples by their index, and the seconds that routing took."""

    routes: dict[int, Route] = field(default_factory=dict)
    seconds: float = 0.0

    def choose(self, components: RunComponents, rows: Sequence[int], examples: Sequence[Example]) -> None:
        """Let the strategy route the examples with indices ``rows``."""
        started = time.perf_counter()
        routes = components.strategy.route(examples)
        if routes is not None:
            self.seconds += time.perf_counter() - started
            self.routes.update(zip(rows, routes, strict=True))

    def selected(self, components: RunComponents, rows: Sequence[int]) -> AbstractContextManager[Any]:
        """Let each of ``rows`` be answered by the selection of its route; by the active one if none is routed."""
        if not self.routes:
            return nullcontext()
        selections: list[Selection] = [self.routes[row].selection for row in rows]
        return components.backbone.adapters.using(combine(selections))


def answer(
    components: RunComponents, examples: Sequence[Example], pause: Pause = _go_on, routing: Routing | None = None
) -> list[str]:
    """Return a generated answer to each example, in their order.

    Batches hold prompts of similar length on few media. ``routing`` is filled in; without it the active selection
    answers, and nothing is routed.
    """
    settings = components.plan.evaluation
    order = _batch_order(examples)
    answers = [""] * len(examples)
    for start in range(0, len(order), settings.batch_size):
        pause()
        rows = order[start : start + settings.batch_size]
        chosen = [examples[row] for row in rows]
        with components.accelerator.autocast():
            if routing is not None:
                routing.choose(components, rows, chosen)
            with routing.selected(components, rows) if routing is not None else nullcontext():
                texts = components.backbone.generate(
                    chosen, max_new_tokens=settings.max_new_tokens, num_beams=settings.num_beams
                )
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def _batch_order(examples: Sequence[Example]) -> list[int]:
    """Return indices by modalities, then by length, with questions on the same media next to each other."""
    longest: dict[tuple[str, ...], int] = {}
    keys = [example.media_key or (example.id,) for example in examples]
    for key, example in zip(keys, examples, strict=True):
        longest[key] = max(longest.get(key, 0), len(example.prompt))

    def rank(index: int) -> tuple[str, int, tuple[str, ...], int]:
        example = examples[index]
        return "+".join(sorted(example.modalities)), longest[keys[index]], example.media_key, len(example.prompt)

    return sorted(range(len(examples)), key=rank)


def likeliest(
    components: RunComponents,
    examples: Sequence[Example],
    choices: Sequence[str] | None = None,
    pause: Pause = _go_on,
    routing: Routing | None = None,
) -> list[str]:
    """Return the likeliest of ``choices`` for each example, or of its own choices where they are None.

    ``routing`` is filled in where it has no routes yet; without it the active selection answers.
    """
    answers = []
    asked = routing is not None and not routing.routes
    size = max(1, components.plan.evaluation.batch_size // 4)  # each prompt is read with every answer behind it
    for start in range(0, len(examples), size):
        pause()
        rows = range(start, min(start + size, len(examples)))
        chosen = [examples[row] for row in rows]
        with components.accelerator.autocast():
            if routing is not None and asked:
                routing.choose(components, rows, chosen)
            with routing.selected(components, rows) if routing is not None else nullcontext():
                best = components.backbone.score_choices(chosen, choices).argmax(1).tolist()
        for example, place in zip(chosen, best, strict=True):
            answers.append((choices or example.choices)[place])
    return answers


def answer_task(
    components: RunComponents,
    task: Task,
    examples: Sequence[Example],
    pause: Pause = _go_on,
    routing: Routing | None = None,
) -> list[str]:
    """Return an answer to each example: generated, or in multiple choice the likeliest of its own choices."""
    if task.type == CHOICE:
        return likeliest(components, examples, None, pause, routing)
    return answer(components, examples, pause, routing)


def score(
    components: RunComponents,
    task: Task,
    after: int,
    *,
    split: str = "test",
    keep_answers: bool = False,
    pause: Pause = _go_on,
) -> Iterator[Event]:
    """Score ``task`` as the model stands: by its own metric first, then by those for its type.

    Raises PlanError where the split has no examples.
    """
    examples = task.examples(split)[: components.plan.evaluation.examples]
    if not examples:
        raise PlanError(f"task {task.name} has no {split} examples", "Choose another --split, or add such lines.")
    started, routing = time.perf_counter(), Routing()
    answers = answer_task(components, task, examples, pause, routing)
    seconds = time.perf_counter() - started
    references = [example.references for example in examples]
    metrics = components.metrics
    others = [name for name, metric in metrics.items() if task.type in metric.task_types and name != task.metric]
    scored = partial(Scored, after=after, task=task.name, split=split, n=len(examples))
    for name in (task.metric, *others):
        value = 100 * metrics[name].score(answers, references).value
        yield scored(metric=name, value=value, main=name == task.metric, seconds=seconds)
    if components.plan.evaluation.score == CHOICES and task.answers:
        started = time.perf_counter()
        chosen = likeliest(components, examples, task.answers, pause, routing if routing.routes else None)
        value = 100 * metrics[task.metric].score(chosen, references).value
        yield scored(metric=CHOICES, value=value, main=False, seconds=time.perf_counter() - started)
    if routing.routes:
        yield _routed(components, after, task, split, routing)
    if keep_answers:
        rows = [(e.id, text, e.references) for e, text in zip(examples, answers, strict=True)]
        yield Answered(after=after, task=task.name, split=split, rows=rows)


def _routed(components: RunComponents, after: int, task: Task, split: str, routing: Routing) -> Routed:
    name, passes = components.strategy.routed_by
    routes = routing.routes.values()
    return Routed(
        after=after,
        task=task.name,
        split=split,
        router=name or components.plan.strategy,
        n=len(routes),
        chosen=dict(Counter(route.task for route in routes)),
        unsure=sum(route.margin < UNSURE for route in routes),
        seconds=routing.seconds,
        passes=passes,
    )


def validate(components: RunComponents, tasks: Sequence[Task], pause: Pause = _go_on) -> float | None:
    """Return the mean validation score (x100) over a stage's tasks; None where none has such examples.

    Nothing is routed: a router does not know the stage's tasks yet.
    """
    values = []
    for task in tasks:
        examples = task.examples("val")[: components.plan.training.validation_examples]
        if examples:
            answers = answer_task(components, task, examples, pause)
            result = components.metrics[task.metric].score(answers, [e.references for e in examples])
            values.append(100 * result.value)
    return sum(values) / len(values) if values else None
