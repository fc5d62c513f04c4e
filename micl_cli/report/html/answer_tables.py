"""Tables of answers as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from micl_cli.records import PredictionRecord
from micl_cli.report.blocks import labels, number
from micl_cli.report.data import RunData
from micl_cli.report.html.answers import AnsweredExample, TaskAnswers
from micl_cli.report.html.previews import Preview

MAX_TEXT = 600
"""Longer texts are truncated."""


@dataclass(frozen=True, kw_only=True)
class AnswerCell:
    """The answer after a stage. ``score`` is None, and ``text`` empty, if it is not stored."""

    stage: int
    text: str = ""
    score: float | None = None
    shown_score: str = ""
    stored: bool = True
    missing: bool = False
    wrong: bool = False
    forgotten: bool = False


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """An example with its answers by stage. ``prompt`` is None if it is not available."""

    id: str
    prompt: str | None
    previews: Sequence[Preview]
    references: Sequence[str]
    cells: Sequence[AnswerCell]
    wrong: str
    forgotten: str


@dataclass(frozen=True, kw_only=True)
class AnswerTable:
    """The answers to a task. ``stages`` are pairs of number and label; ``notes`` say what is not shown."""

    task: str
    label: str
    stages: Sequence[tuple[int, str]]
    rows: Sequence[AnswerRow]
    notes: Sequence[str]
    has_content: bool


@dataclass(frozen=True, kw_only=True)
class AnswerTables:
    """All answers of a run, with the stages that can be chosen. ``examples`` are shown, of ``stored`` ones."""

    tables: Sequence[AnswerTable]
    stages: Sequence[tuple[int, str]]
    examples: int
    stored: int


def answer_tables(run: RunData, answers: Sequence[TaskAnswers], previews: Mapping[str, Preview]) -> AnswerTables:
    """Return the tables of the answers of a run."""
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    stages = sorted({stage for each in answers for stage in each.stages})
    titles = {stage: _stage_title(run, stage, names) for stage in stages}
    tables = [_table(each, names.get(each.task, each.task), titles, previews) for each in answers]
    examples = sum(len(table.rows) for table in tables)
    stored = sum(max(each.stored, len(each.examples)) for each in answers)
    return AnswerTables(tables=tables, stages=list(titles.items()), examples=examples, stored=stored)


def _stage_title(run: RunData, stage: int, names: Mapping[str, str]) -> str:
    if not stage:
        return "before learning"
    tasks = next((each.tasks for each in run.stages if each.position == stage), ())
    learnt = names.get(tasks[0], tasks[0]) if len(tasks) == 1 else f"{len(tasks)} tasks" if tasks else ""
    return f"after {stage} {learnt}".strip()


def _table(answers: TaskAnswers, label: str, titles: Mapping[int, str], previews: Mapping[str, Preview]) -> AnswerTable:
    rows = [_row(example, answers.stages, previews) for example in answers.examples]
    counted = (
        f"The first {len(rows):,} of {answers.stored:,} examples with stored answers."
        if len(rows) < answers.stored
        else ""
    )
    return AnswerTable(
        task=answers.task,
        label=label,
        stages=[(stage, titles[stage]) for stage in answers.stages],
        rows=rows,
        notes=[note for note in (counted, *answers.notes) if note],
        has_content=any(row.prompt is not None for row in rows),
    )


def _row(example: AnsweredExample, stages: Sequence[int], previews: Mapping[str, Preview]) -> AnswerRow:
    wrong, forgotten = set(example.wrong), set(example.forgotten)
    more = [Preview(f"and {example.more} more")] if example.more else []
    return AnswerRow(
        id=example.id,
        prompt=None if example.prompt is None else _shortened(example.prompt),
        previews=[*(previews[medium.key] for medium in example.media if medium.key in previews), *more],
        references=list(map(_shortened, example.references)),
        cells=[_cell(stage, example.answers.get(stage), stage in wrong, stage in forgotten) for stage in stages],
        wrong=" ".join(map(str, sorted(wrong))),
        forgotten=" ".join(map(str, sorted(forgotten))),
    )


def _cell(stage: int, record: PredictionRecord | None, wrong: bool, forgotten: bool) -> AnswerCell:
    if record is None:
        return AnswerCell(stage=stage, stored=False)
    return AnswerCell(
        stage=stage,
        text=_shortened(record.answer),
        score=record.score,
        shown_score=number(record.score),
        missing=record.missing,
        wrong=wrong,
        forgotten=forgotten,
    )


def _shortened(text: str) -> str:
    more = len(text) - MAX_TEXT
    return text if more <= 0 else f"{text[:MAX_TEXT]}… ({more:,} more characters)"
