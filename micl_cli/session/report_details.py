"""The data of an HTML report besides scores: optimiser steps, and answers with previews of their media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from micl_cli.api.task import Example
from micl_cli.records import PredictionRecord
from micl_cli.report.data import RunData
from micl_cli.report.html.answers import MAX_DETAILED, AnsweredExample, ReportDetails, TaskAnswers
from micl_cli.session.report_previews import Gallery

if TYPE_CHECKING:
    from micl_cli.session.session import Session
    from micl_cli.store import Store

MAX_EXAMPLES = 1200
"""The largest number of examples in a report."""
MAX_MEDIA = 3
"""The largest number of previews of one example."""


def report_details(session: Session, runs: Sequence[RunData], answers: int) -> ReportDetails:
    """Return steps and up to ``answers`` answered examples of each task; nothing for more than MAX_DETAILED runs."""
    if len(runs) > MAX_DETAILED:
        return ReportDetails(notes=(f"Curves and answers are shown in reports of up to {MAX_DETAILED} runs.",))
    with session.store_to_read() as store:
        steps = {run.id: store.steps(run.id) for run in runs}
        limit = min(answers, MAX_EXAMPLES // max(1, len(runs) * max(len(run.tasks) for run in runs)))
        stored = {run.id: _stored(store, run, limit) for run in runs} if limit else {}
    gallery = Gallery(session)
    shown = {run.id: [_with_examples(gallery, run, each) for each in stored.get(run.id, ())] for run in runs}
    previews, notes = gallery.previews(each for sets in shown.values() for task in sets for each in task.examples)
    return ReportDetails(steps=steps, answers=shown, previews=previews, notes=notes)


def _stored(store: Store, run: RunData, limit: int) -> list[TaskAnswers]:
    """Return the answers of a run by task, in the order of its tasks; other tasks follow."""
    counts: dict[str, dict[int, int]] = {}
    for each in store.prediction_sets(run.id):
        if each.split == run.split:
            counts.setdefault(each.task, {})[each.after] = each.answers
    tasks = [*run.tasks, *sorted(set(counts) - set(run.tasks))]
    return [_task_answers(store, run, task, counts[task], limit) for task in tasks if task in counts]


def _task_answers(store: Store, run: RunData, task: str, counts: Mapping[int, int], limit: int) -> TaskAnswers:
    answers: dict[str, dict[int, PredictionRecord]] = {}
    for stage in sorted(counts):
        for record in store.predictions(run.id, stage, task, run.split, limit):
            answers.setdefault(record.example, {})[stage] = record
    learnt = next((stage.position for stage in run.stages if task in stage.tasks), None)
    examples = [AnsweredExample(id=name, answers=each, learnt=learnt) for name, each in answers.items()]
    return TaskAnswers(task=task, stages=sorted(counts), examples=examples[:limit], stored=max(counts.values()))


def _with_examples(gallery: Gallery, run: RunData, answers: TaskAnswers) -> TaskAnswers:
    """Return answers with prompts and media, as far as their task is prepared here as it was for the run."""
    task, problem = gallery.opened(answers.task)
    if task is None:
        return replace(answers, notes=(problem,))
    if run.data.get(answers.task, task.sha256) != task.sha256:
        note = f"{answers.task} is prepared here with other data than the run's: its prompts and media are not shown."
        return replace(answers, notes=(note,))
    wanted = {each.id for each in answers.examples}
    examples = {example.id: example for example in task.examples(run.split) if example.id in wanted}
    return replace(answers, examples=[_with_content(each, examples.get(each.id)) for each in answers.examples])


def _with_content(answered: AnsweredExample, example: Example | None) -> AnsweredExample:
    """Return an answered example with prompt and media, unless it was another one when it was answered."""
    if example is None or example.references != answered.references:
        return answered
    media = example.media[:MAX_MEDIA]
    return replace(answered, prompt=example.prompt, media=media, more=len(example.media) - len(media))
