"""Evaluation: answer the examples of a task and score the answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from micl_cli.api.answer import Answer, is_missing
from micl_cli.api.events import CHOICES, UNSURE_MARGIN, Answered, Event, Routed, Scored
from micl_cli.api.metric import Metric, Score
from micl_cli.api.sampling import subset
from micl_cli.api.selection import Selection, combine
from micl_cli.api.strategy import Route
from micl_cli.api.task import CHOICE, Example, Task
from micl_cli.errors import PlanError
from micl_cli.training.components import RunComponents

_FEW = 100
"""The number of examples on which a metric is tried before all of them."""
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

    def readable(self, components: RunComponents, indices: Sequence[int], examples: Sequence[Example]) -> list[Example]:
        """Return ``examples`` without the media that the base model needs a connector for, where it answers alone."""
        alone = [index in self.routes and self.routes[index].selection is None for index in indices]
        connected = _connected_modalities(components) if any(alone) else set()
        return [_without_media(e, connected) if base else e for e, base in zip(examples, alone, strict=True)]


def _connected_modalities(components: RunComponents) -> set[str]:
    """Return the modalities that the base model reads through connectors of adapters, and not by itself."""
    adapters = components.backbone.adapters
    groups = {adapters.group(key) for name in adapters.names for key in adapters.parameters(name)}
    return {group.removeprefix("connector/") for group in groups if group.startswith("connector/")}


def _without_media(example: Example, modalities: Collection[str]) -> Example:
    content = tuple(item for item in example.content if isinstance(item, str) or item.modality not in modalities)
    return replace(example, content=content)


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
        with _reading(components, indices, batch, routing) as readable:
            texts = components.backbone.generate(readable, **settings.decoding)
        for index, text in zip(indices, texts, strict=True):
            answers[index] = text
    return answers


@contextmanager
def _reading(
    components: RunComponents, indices: Sequence[int], batch: Sequence[Example], routing: Routing | None
) -> Iterator[Sequence[Example]]:
    """Yield the examples of a batch as the adapters that answer them can read them, and activate these.

    ``routing`` collects the routes, unless it has them; without it, the active selection answers.
    """
    with components.accelerator.autocast():
        if routing is None:
            yield batch
            return
        if not all(index in routing.routes for index in indices):
            routing.route(components, indices, batch)
        with routing.selected(components, indices):
            yield routing.readable(components, indices, batch)


def stream_answer(
    components: RunComponents, example: Example, receive: Callable[[str], None], routing: Routing, **decoding: Any
) -> str:
    """Return a generated answer to one example as ``answer`` does, and pass its pieces to ``receive`` on the way.

    A route that ``routing`` holds already is taken. A strategy with answers of its own takes precedence.
    """
    if (own := components.strategy.answers([example])) is not None:
        receive(own[0])
        return own[0]
    with _reading(components, [0], [example], routing) as (readable,):
        return components.backbone.stream(readable, receive, **decoding)


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

    ``routing`` collects the routes unless it has some already; without it, the active selection answers. A strategy
    with answers of its own takes precedence.
    """
    given = [replace(example, choices=tuple(choices)) for example in examples] if choices else examples
    if (own := components.strategy.answers(given)) is not None:
        return list(own)
    answers = []
    size = max(1, components.plan.evaluation.batch_size // 4)  # each prompt is read once for every choice
    for start in range(0, len(examples), size):
        pause()
        indices = range(start, min(start + size, len(examples)))
        batch = [examples[index] for index in indices]
        with _reading(components, indices, batch, routing) as readable:
            best = components.backbone.score_choices(readable, choices).argmax(1).tolist()
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
    """Return an answer to each example: generated or, in multiple choice, the most likely of its own choices.

    A strategy with answers of its own takes precedence.
    """
    if task.type == CHOICE:
        return most_likely(components, examples, None, pause, routing)
    if (own := components.strategy.answers(examples)) is not None:
        return list(own)
    return answer(components, examples, pause, routing)


def cut_answers(answers: Sequence[str]) -> int | None:
    """Return how many answers were cut at their maximum length, or None if the backbone does not tell."""
    told = [answer.cut for answer in answers if isinstance(answer, Answer) and answer.cut is not None]
    return sum(told) if len(told) == len(answers) else None


def score(
    components: RunComponents,
    task: Task,
    after: int,
    *,
    split: str = "test",
    max_answers: int | None = 0,
    pause: Pause = _no_pause,
) -> Iterator[Event]:
    """Score the model in its current state on ``task``, by the task's own metric first, then by those for its type.

    The answers follow, unless there are more than ``max_answers`` (None: no limit). Raises PlanError if the split has
    no examples.
    """
    examples = subset(task.examples(split), components.plan.evaluation.examples)
    if not examples:
        raise PlanError(f"task {task.name} has no {split} examples", "Choose another --split, or add such examples.")
    started, routing = time.perf_counter(), Routing()
    answers = answer_task(components, task, examples, pause, routing)
    seconds = time.perf_counter() - started
    metrics = components.metrics
    others = [name for name, metric in metrics.items() if task.type in metric.task_types and name != task.metric]
    scored = partial(Scored, after=after, task=task.name, split=split, n=len(examples))
    scored = partial(scored, prompts=task.prompts, scorer=task.scorer)
    counts: dict[str, Any] = {"cut": cut_answers(answers), "missing": sum(map(is_missing, answers))}
    each: list[float | None] = []
    for name in (task.metric, *others):
        result = metrics[name].score_examples(answers, examples)
        if name == task.metric:
            each = [100 * value for value in result.each]
        yield scored(main=name == task.metric, seconds=seconds, **counts, **_figures(metrics[name], name, result))
    if components.plan.evaluation.score == CHOICES and task.answers:
        started = time.perf_counter()
        chosen = most_likely(components, examples, task.answers, pause, routing if routing.routes else None)
        result = metrics[task.metric].score_examples(chosen, examples)
        seconds = time.perf_counter() - started
        yield scored(main=False, seconds=seconds, **_figures(metrics[task.metric], CHOICES, result))
    if routing.routes and not components.strategy.knows_task:
        yield _routed(components, after, task, split, routing)
    if max_answers is None or len(answers) <= max_answers:
        rows = [(e.id, str(text), e.references) for e, text in zip(examples, answers, strict=True)]
        missing = [e.id for e, text in zip(examples, answers, strict=True) if is_missing(text)]
        yield Answered(after=after, task=task.name, split=split, rows=rows, scores=each, missing=missing)


def _figures(metric: Metric, name: str, score: Score) -> dict[str, Any]:
    """Return the fields of a Scored event that a metric computes, x100."""
    figures: dict[str, float] = {figure: 100 * value for figure, value in score.figures.items()}
    return {"metric": name, "version": metric.version, "value": 100 * score.value, "figures": figures}


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

    If the metrics of the tasks have different scales, it is the mean of the scores as shares of the highest value of
    each scale: CIDEr would otherwise outweigh accuracy. Tasks whose metric cannot tell right answers from wrong ones
    are left out.
    Nothing is routed unless the strategy says so, since most routers have not learnt the stage's tasks yet.
    """
    values: list[tuple[float, float]] = []
    for task in tasks:
        examples = _validation_examples(components, task)
        if examples and can_tell(components, task, examples):
            routing = Routing() if components.strategy.routes_validation else None
            answers = answer_task(components, task, examples, pause, routing)
            metric = components.metrics[task.metric]
            values.append((metric.score_examples(answers, examples).value, metric.scale[1]))
    return _mean_over_tasks(values) if values else None


def _mean_over_tasks(scores: Sequence[tuple[float, float]]) -> float:
    """Return the mean x100 of scores that are given with the highest value of their scale."""
    highest = {high for _, high in scores}
    return 100 * sum(value if len(highest) == 1 else value / high for value, high in scores) / len(scores)


@torch.no_grad()
def validation_loss(components: RunComponents, tasks: Sequence[Task]) -> float | None:
    """Return the mean cross entropy in nats over the answer tokens of all validation examples, or None without any."""
    examples = [example for task in tasks for example in _validation_examples(components, task)]
    backbone, size, total, tokens = components.backbone, components.plan.evaluation.batch_size, 0.0, 0
    components.eval()
    for start in range(0, len(examples), size):
        part, routing = examples[start : start + size], Routing()
        indices = range(start, start + len(part))
        with components.accelerator.autocast():
            if components.strategy.routes_validation:
                routing.route(components, indices, part)
            with routing.selected(components, indices):
                batch = backbone.batch(part)
                count = len(batch.example_index)
                total += count * float(backbone.loss(batch))
        tokens += count
    return total / tokens if tokens else None


def can_tell(components: RunComponents, task: Task, examples: Sequence[Example]) -> bool:
    """Return whether a task's metric tells right answers to ``examples`` from wrong ones."""
    return components.metrics[task.metric].informative_examples(examples)


def metric_notes(components: RunComponents, tasks: Sequence[Task], split: str) -> list[str]:
    """Return a note for each task whose metric cannot tell right answers to its scored examples from wrong ones."""
    notes = []
    for task in tasks:
        examples = subset(task.examples(split), components.plan.evaluation.examples)
        few = subset(examples, _FEW)  # most often they decide, and a score on all would take long
        if examples and not any(can_tell(components, task, each) for each in (few, examples)):
            notes.append(
                f"{task.metric} gives every answer to the {split} examples of {task.name} the same score: "
                "use another metric in task.toml, or examples with different references"
            )
    return notes


def undecided_tasks(components: RunComponents, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with validation examples for which the metric gives all answers the same score."""
    by_task = [(task, _validation_examples(components, task)) for task in tasks]
    return [task for task, examples in by_task if examples and not can_tell(components, task, examples)]


def _validation_examples(components: RunComponents, task: Task) -> Sequence[Example]:
    return subset(task.examples("val"), components.plan.training.validation_examples)
