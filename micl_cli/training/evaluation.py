"""Answering a task's questions and scoring the answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from micl_cli.api.events import CHOICES, UNSURE, Answered, Event, Routed, Scored
from micl_cli.api.task import Example, Task
from micl_cli.errors import PlanError
from micl_cli.training.components import RunComponents


@dataclass
class Routing:
    """The (task, margin) that were chosen for a task's examples, and the seconds that took.

    ``adapters`` holds who answers each example, by its place; nothing where the active one answers all.
    """

    routes: list[tuple[str, float]] = field(default_factory=list)
    adapters: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


def answer(
    components: RunComponents,
    examples: Sequence[Example],
    pause: Callable[[], None] = lambda: None,
    routing: Routing | None = None,
    *,
    by_active: bool = False,
) -> list[str]:
    """An answer to each example, in their order; batches hold prompts of like length, on few media.

    ``pause`` is called before each batch, and may raise to stop. ``routing`` is told who answered;
    ``by_active`` has the adapter in work answer, and asks nobody.
    """
    settings = components.plan.evaluation
    order = _order(examples)
    answers = [""] * len(examples)
    for start in range(0, len(order), settings.batch_size):
        pause()
        rows = order[start : start + settings.batch_size]
        chosen = [examples[i] for i in rows]
        with components.accelerator.autocast():
            adapters = None if by_active else _route(components, chosen, routing)
            texts = components.backbone.generate(
                chosen,
                adapters=adapters,
                max_new_tokens=settings.max_new_tokens,
                num_beams=settings.num_beams,
            )
        if routing is not None and adapters is not None:
            routing.adapters.update(zip(rows, adapters, strict=True))
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def _order(examples: Sequence[Example]) -> list[int]:
    """The examples' places, those of a modality together, then by length; questions on one medium are neighbours."""
    longest: dict[str, int] = {}
    media = [example.digest or example.id for example in examples]
    for medium, example in zip(media, examples, strict=True):
        longest[medium] = max(longest.get(medium, 0), len(example.prompt))

    def key(place: int) -> tuple[str, int, str, int]:
        example = examples[place]
        return example.modality or "", longest[media[place]], example.digest, len(example.prompt)

    return sorted(range(len(examples)), key=key)


def _route(components: RunComponents, examples: Sequence[Example], routing: Routing | None) -> Sequence[str] | None:
    strategy, started = components.strategy, time.perf_counter()
    strategy.routes = ()
    adapters = strategy.route(examples)
    if routing is not None and adapters is not None:
        routing.seconds += time.perf_counter() - started
        routing.routes += strategy.routes
    return adapters


def choose(
    components: RunComponents, task: Task, examples: Sequence[Example], routing: Routing, pause: Callable[[], None]
) -> list[str]:
    """The likeliest of the task's closed set of answers for each example, by who answered it."""
    answers = [""] * len(examples)
    size = max(1, components.plan.evaluation.batch_size // 4)  # each prompt is read with every answer behind it
    for start in range(0, len(examples), size):
        pause()
        by_adapter: dict[str | None, list[int]] = {}
        for row in range(start, min(start + size, len(examples))):
            by_adapter.setdefault(routing.adapters.get(row, components.backbone.active), []).append(row)
        for adapter, rows in by_adapter.items():
            with components.backbone.using(adapter), components.accelerator.autocast():
                best = components.backbone.choose([examples[row] for row in rows], task.answers).argmax(1).tolist()
            for row, place in zip(rows, best, strict=True):
                answers[row] = task.answers[place]
    return answers


def score(
    components: RunComponents,
    task: Task,
    after: int,
    *,
    split: str = "test",
    keep_answers: bool = False,
    pause: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Score ``task`` as the model stands: its own metric first, then those of its kind.

    Raises PlanError where the split has no examples.
    """
    examples = task.examples(split)[: components.plan.evaluation.examples]
    if not examples:
        raise PlanError(f"task {task.name} has no {split} examples", "Choose another --split, or add such lines.")
    started = time.perf_counter()
    routing = Routing()
    answers = answer(components, examples, pause, routing)
    seconds = time.perf_counter() - started
    references = [example.references for example in examples]
    others = [name for name, metric in components.metrics.items() if task.kind in metric.kinds and name != task.metric]
    for name in (task.metric, *others):
        value = 100 * components.metrics[name].score(answers, references).value
        yield Scored(
            after=after,
            task=task.name,
            metric=name,
            value=value,
            n=len(examples),
            split=split,
            main=name == task.metric,
            seconds=seconds,
        )
    if components.plan.evaluation.score == CHOICES and task.answers:
        started = time.perf_counter()
        value = (
            100
            * components.metrics[task.metric]
            .score(choose(components, task, examples, routing, pause), references)
            .value
        )
        seconds, n = time.perf_counter() - started, len(examples)
        yield Scored(
            after=after, task=task.name, metric=CHOICES, value=value, n=n, split=split, main=False, seconds=seconds
        )
    if routing.routes:
        yield Routed(
            after=after,
            task=task.name,
            split=split,
            router=components.strategy.router or components.plan.strategy,
            n=len(routing.routes),
            chosen=dict(Counter(name for name, _ in routing.routes)),
            unsure=sum(margin < UNSURE for _, margin in routing.routes),
            seconds=routing.seconds,
            passes=components.strategy.routing_passes,
        )
    if keep_answers:
        rows = [(e.id, text, e.references) for e, text in zip(examples, answers, strict=True)]
        yield Answered(after=after, task=task.name, split=split, rows=rows)


def validate(components: RunComponents, stage: Sequence[Task], pause: Callable[[], None]) -> float | None:
    """The mean validation score (x100) over a stage's tasks; None where none has such examples."""
    values = []
    for task in stage:
        examples = task.examples("val")[: components.plan.training.validation_examples]
        if examples:
            answers = answer(components, examples, pause, by_active=True)  # what is in work is not routed to yet
            result = components.metrics[task.metric].score(answers, [e.references for e in examples])
            values.append(100 * result.value)
    return sum(values) / len(values) if values else None
