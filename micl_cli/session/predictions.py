"""Selection and rendering of a run's stored answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from micl_cli.api.predictions import Prediction
from micl_cli.api.task import Example
from micl_cli.data.prepared import is_prepared, open_task
from micl_cli.errors import PlanError, StoreError, UsageError, nearest
from micl_cli.io.characters import escape
from micl_cli.records import PredictionRecord, PredictionSet, RunDetails, ScoreRecord
from micl_cli.report.blocks import number
from micl_cli.report.predictions import PREDICTION_FORMATS, AnsweredExample, AnswerSet, render_predictions

if TYPE_CHECKING:
    from micl_cli.session.session import Session


def stored_answers(
    session: Session,
    run_id: str,
    *,
    task: str | None = None,
    stage: int | None = None,
    split: str | None = None,
    below: float | None = None,
    limit: int | None = None,
) -> list[AnswerSet]:
    """Return the answers of a run to the examples of ``split`` after ``stage``, by default the last with answers.

    With ``below`` (x100), only answers that score less, and missing ones; with ``limit``, at most so many per task.
    Raises StoreError if no answers are stored, UsageError if none are for the task, stage or split, or if they have no
    scores to compare.
    """
    with session.store_to_read() as store:
        details = store.details(run_id)
        stored = store.prediction_sets(run_id)
        if not stored:
            hint = f"Answer the examples again and store them: micl eval {run_id} --predictions all"
            raise StoreError(f"run {run_id} has no stored answers", hint)
        chosen = _chosen(run_id, stored, task, stage, split)
        sets = [(each, store.predictions(run_id, each.after, each.task, each.split)) for each in chosen]
    return [
        AnswerSet(
            run=run_id,
            stage=each.after,
            task=each.task,
            split=each.split,
            scored=_scored(details, each),
            examples=_examples(session, each.task, each.split, list(_selected(records, each, below))[:limit]),
        )
        for each, records in sets
    ]


def _chosen(
    run_id: str, stored: Sequence[PredictionSet], task: str | None, stage: int | None, split: str | None
) -> list[PredictionSet]:
    """Return the selected sets of answers, all of one stage and split."""
    name = task and _task(task, sorted({each.task for each in stored}))
    of_task = [each for each in stored if name in (None, each.task)]
    splits = [each.split for each in of_task]
    split = split or ("test" if "test" in splits else splits[0])
    of_split = [each for each in of_task if each.split == split]
    last = max((each.after for each in of_split), default=0) if stage is None else stage
    chosen = [each for each in of_split if each.after == last]
    if not chosen:
        known = ", ".join(f"{each.task} ({each.split}) after stage {each.after}" for each in of_task)
        what = f"the answers of run {run_id} to {name or 'its tasks'} ({split}) after stage {last} are not stored"
        raise UsageError(what, f"Stored: {known}. Store others: micl eval {run_id} --stage {last} --predictions all")
    return chosen


def _task(text: str, known: Sequence[str]) -> str:
    """Return the task with answers whose name, in full or without benchmark, is ``text``. Raises UsageError."""
    matches = [name for name in known if text in (name, name.rpartition("/")[2])]
    if len(matches) != 1:
        hint = f"{nearest(text, known)} Tasks with answers: {', '.join(known)}.".strip()
        raise UsageError(f"{text!r} names {len(matches) or 'no'} task{'s' * (len(matches) > 1)} with answers", hint)
    return matches[0]


def _selected(
    records: Sequence[PredictionRecord], each: PredictionSet, below: float | None
) -> Iterator[PredictionRecord]:
    for record in records:
        if below is not None and record.score is None and not record.missing:
            what = f"the answers to {each.task} were stored by an earlier version of micl, without scores"
            raise UsageError(what, f"Store them again: micl eval RUN --stage {each.after} --predictions all")
        if below is None or record.missing or (record.score or 0) < below:
            yield record


def _scored(details: RunDetails, each: PredictionSet) -> str:
    """Return "accuracy 66.67, 60 answers"."""
    key = each.after, each.task, each.split
    scores: list[ScoreRecord] = [s for s in details.scores if s.main and (s.after, s.task, s.split) == key]
    metric = f"{scores[0].metric} {number(scores[0].value)}, " if scores else ""
    return f"{metric}{each.answers:,} answer{'s' * (each.answers != 1)}"


def _examples(session: Session, task: str, split: str, records: Sequence[PredictionRecord]) -> list[AnsweredExample]:
    """Return answers with their examples, or without them if the task is not prepared here."""
    examples: dict[str, Example] = {}
    if is_prepared(task, session.settings.home):
        with suppress(PlanError):  # answers can be shown even if their task is damaged
            opened = open_task(task, session.settings.home, verify=False).examples(split)
            examples = {example.id: example for example in opened}
    return [AnsweredExample(record, examples.get(record.example)) for record in records]


def rendered_answers(session: Session, sets: Sequence[AnswerSet], form: str) -> str:
    """Return answers in a common format, or in one that the reader of their task defines, without a final newline.

    Raises UsageError for an unknown format, and if a format holds the answers to one task and ``sets`` are of several;
    PlanError if the reader's format needs examples that are not prepared here.
    """
    if len(sets) > 1 and (form not in PREDICTION_FORMATS or form == "release"):
        for each in sets:
            session.tasks.check_export(each.task, form, PREDICTION_FORMATS)
        names = ", ".join(each.task for each in sets)
        raise UsageError(f"a file in the format {form} holds the answers to one task", f"Name it with --task: {names}.")
    if form in PREDICTION_FORMATS:
        return render_predictions(sets, form)
    name, answered = sets[0].task, [each for each in sets[0].examples if not each.record.missing]
    known = [Prediction(each.example, each.record.answer) for each in answered if each.example]
    text = session.tasks.export(name, form, known, PREDICTION_FORMATS)
    if len(known) < len(answered):
        raise PlanError(
            f"{name} is not prepared here as it was for the run", f"Prepare it: micl prepare {name} --root DIR"
        )
    return escape(text.rstrip("\n"), keep="\n\t")
