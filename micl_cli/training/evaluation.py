"""Evaluation: answer the examples of a task and score the answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from micl_cli.api.events import CHOICES, UNSURE_MARGIN, Answered, Event, Routed, Scored
from micl_cli.api.sampling import subset
from micl_cli.api.selection import Selection, combine
from micl_cli.api.strategy import Route
from micl_cli.api.task import CHOICE, Example, Task
from micl_cli.errors import PlanError
from micl_cli.training.components import RunComponents

Pause = Callable[[], None]
"""Called before each batch; may raise an exception to stop."""


def _no_pause() -> None:
    """Continue."""


@dataclass
class Routing:
    """The routes of a task's examples by index, and the seconds spent on routing."""

    routes: dict[int, Route] = field(default_factory=dict)
    seconds: float = 0.0

    def route(self, components: RunComponents, indices: Sequence[int], examples: Sequence[Example]) -> None:
        """Let the strategy route ``examples``, whose indices in the task are ``indices``."""
        started = time.perf_counter()
        routes = components.strategy.route(examples)
        if routes is not None:
            self.seconds += time.perf_counter() - started
            self.routes.update(zip(indices, routes, strict=True))

    def selected(self, components: RunComponents, indices: Sequence[int]) -> AbstractContextManager[Any]:
        """Return a context that activates the routes of a batch, or that changes nothing if there are no routes."""
        if not self.routes:
            return nullcontext()
        selections: list[Selection] = [self.routes[index].selection for index in indices]
        return components.backbone.adapters.using(combine(selections))


def answer(
    components: RunComponents, examples: Sequence[Example], pause: Pause = _no_pause, routing: Routing | None = None
) -> list[str]:
    """Return a generated answer to each example, in order.

    Each batch has prompts of similar length on few media. ``routing`` collects the routes; without it, nothing is
    routed and the active selection answers.
    """
    settings = components.plan.evaluation
    order = _batch_order(examples)
    answers = [""] * len(examples)
    for start in range(0, len(order), settings.batch_size):
        pause()
        indices = order[start : start + settings.batch_size]
        batch = [examples[index] for index in indices]
        with components.accelerator.autocast():
            if routing is not None:
                routing.route(components, indices, batch)
            with routing.selected(components, indices) if routing is not None else nullcontext():
                texts = components.backbone.generate(
                    batch, max_new_tokens=settings.max_new_tokens, num_beams=settings.num_beams
                )
        for index, text in zip(indices, texts, strict=True):
            answers[index] = text
    return answers


def _batch_order(examples: Sequence[Example]) -> list[int]:
    """Return the indices sorted by modalities, then by length, with questions on the same media side by side."""
    longest: dict[tuple[str, ...], int] = {}
    keys = [example.media_key or (example.id,) for example in examples]
    for key, example in zip(keys, examples, strict=True):
        longest[key] = max(longest.get(key, 0), len(example.prompt))

    def rank(index: int) -> tuple[str, int, tuple[str, ...], int]:
        example = examples[index]
        return "+".join(sorted(example.modalities)), longest[keys[index]], example.media_key, len(example.prompt)

    return sorted(range(len(examples)), key=rank)


def most_likely(
    components: RunComponents,
    examples: Sequence[Example],
    choices: Sequence[str] | None = None,
    pause: Pause = _no_pause,
    routing: Routing | None = None,
) -> list[str]:
    """Return the most likely of ``choices`` for each example, or of its own choices if ``choices`` is None.

    ``routing`` collects the routes unless it has some already; without it, the active selection answers.
    """
    answers = []
    route = routing is not None and not routing.routes
    size = max(1, components.plan.evaluation.batch_size // 4)  # each prompt is read once for every choice
    for start in range(0, len(examples), size):
        pause()
        indices = range(start, min(start + size, len(examples)))
        batch = [examples[index] for index in indices]
        with components.accelerator.autocast():
            if routing is not None and route:
                routing.route(components, indices, batch)
            with routing.selected(components, indices) if routing is not None else nullcontext():
                best = components.backbone.score_choices(batch, choices).argmax(1).tolist()
        for example, choice in zip(batch, best, strict=True):
            answers.append((choices or example.choices)[choice])
    return answers


def answer_task(
    components: RunComponents,
    task: Task,
    examples: Sequence[Example],
    pause: Pause = _no_pause,
    routing: Routing | None = None,
) -> list[str]:
    """Return an answer to each example: generated or, in multiple choice, the most likely of its own choices."""
    if task.type == CHOICE:
        return most_likely(components, examples, None, pause, routing)
    return answer(components, examples, pause, routing)


def score(
    components: RunComponents,
    task: Task,
    after: int,
    *,
    split: str = "test",
    keep_answers: bool = False,
    pause: Pause = _no_pause,
) -> Iterator[Event]:
    """Score the model in its current state on ``task``, by the task's own metric first, then by those for its type.

    Raises PlanError if the split has no examples.
    """
    examples = subset(task.examples(split), components.plan.evaluation.examples)
    if not examples:
        raise PlanError(f"task {task.name} has no {split} examples", "Choose another --split, or add such examples.")
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
        chosen = most_likely(components, examples, task.answers, pause, routing if routing.routes else None)
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
        unsure=sum(route.margin < UNSURE_MARGIN for route in routes),
        seconds=routing.seconds,
        passes=passes,
    )


def validate(components: RunComponents, tasks: Sequence[Task], pause: Pause = _no_pause) -> float | None:
    """Return the mean validation score (x100) over a stage's tasks, or None if none has validation examples.

    Nothing is routed, since a router has not learnt the stage's tasks yet.
    """
    values = []
    for task in tasks:
        examples = subset(task.examples("val"), components.plan.training.validation_examples)
        if examples:
            answers = answer_task(components, task, examples, pause)
            result = components.metrics[task.metric].score(answers, [e.references for e in examples])
            values.append(100 * result.value)
    return sum(values) / len(values) if values else None
