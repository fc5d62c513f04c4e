"""Rendering of a run's stored answers as text, CSV or JSON Lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from micl_cli.api.predictions import QUESTION_ID
from micl_cli.api.task import Example
from micl_cli.io.characters import has_control, is_control
from micl_cli.io.json_text import json_text
from micl_cli.records import PredictionRecord
from micl_cli.report.blocks import number
from micl_cli.report.render.csv import safe_cell
from micl_cli.report.render.visible import visible

COLUMNS = ("run", "stage", "task", "split", "id", "prompt", "answer", "references", "score", "missing")
_SEPARATOR = " | "


@dataclass(frozen=True)
class AnsweredExample:
    """A stored answer with its example, which is None if the task is not prepared here."""

    record: PredictionRecord
    example: Example | None = None

    @property
    def prompt(self) -> str:
        """The prompt, or an empty string if the example is not available."""
        return self.example.prompt if self.example else ""

    @property
    def question_id(self) -> Any:
        """The published id of the question, a number in some files."""
        return self.example.meta.get(QUESTION_ID, self.record.example) if self.example else self.record.example


@dataclass(frozen=True, kw_only=True)
class AnswerSet:
    """Answers of a run to a split of a task after a stage. ``scored`` describes metric and score."""

    run: str
    stage: int
    task: str
    split: str
    scored: str
    examples: Sequence[AnsweredExample]


def render_predictions(sets: Sequence[AnswerSet], format: str) -> str:
    """Return answers as "text", "csv", "jsonl" or "release", without a final newline.

    The lines of "jsonl" and "release" can be scored by `micl score`; "release" has the keys of LLaVA-style releases,
    and leaves out examples without an answer.
    """
    return _FORMATS[format](sets)


def _text(sets: Sequence[AnswerSet]) -> str:
    return "\n\n".join("\n\n".join([_heading(each), *map(_example, each.examples)]) for each in sets)


def _heading(answers: AnswerSet) -> str:
    stage = f"after stage {answers.stage}" if answers.stage else "before learning"
    return visible(f"{answers.task}, {answers.split} split, {stage}: {answers.scored}")


def _example(example: AnsweredExample) -> str:
    record = example.record
    answer = "(none)" if record.missing else record.answer
    texts = [("prompt", example.prompt), ("answer", answer), ("references", _SEPARATOR.join(record.references))]
    lines = [f"  {name:<10}  {visible(text)}".rstrip() for name, text in texts if text or name != "prompt"]
    return "\n".join([f"{visible(record.example)}  score {number(record.score)}", *lines])


def _csv(sets: Sequence[AnswerSet]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(sets):
        cells = {**row, "references": _SEPARATOR.join(row["references"])}
        writer.writerow([safe_cell("" if cells[name] is None else cells[name]) for name in COLUMNS])
    return text.getvalue().rstrip("\n")


def _jsonl(sets: Sequence[AnswerSet]) -> str:
    renamed = {"id": "question_id", "answer": "text"}
    rows = ({renamed.get(name, name): value for name, value in row.items()} for row in _rows(sets))
    return "\n".join(map(_json_line, rows))


def _release(sets: Sequence[AnswerSet]) -> str:
    lines = [
        {
            "question_id": example.question_id,
            "prompt": example.prompt,
            "text": example.record.answer,
            "answer_id": f"{answers.run}-{answers.stage}-{example.record.example}",
            "model_id": answers.run,
            "metadata": {},
        }
        for answers in sets
        for example in answers.examples
        if not example.record.missing
    ]
    return "\n".join(map(_json_line, lines))


def _json_line(row: dict[str, Any]) -> str:
    """Return JSON of the same value in which control characters, all of which are in strings, are escapes."""
    text = json_text(row, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if is_control(c) else c for c in text) if has_control(text) else text


def _rows(sets: Sequence[AnswerSet]) -> Iterator[dict[str, Any]]:
    """Yield the value of each column for each answer."""
    for answers in sets:
        for example in answers.examples:
            record = example.record
            yield {
                "run": answers.run,
                "stage": answers.stage,
                "task": answers.task,
                "split": answers.split,
                "id": record.example,
                "prompt": example.prompt,
                "answer": record.answer,
                "references": list(record.references),
                "score": record.score,
                "missing": record.missing,
            }


_FORMATS: dict[str, Callable[[Sequence[AnswerSet]], str]] = {
    "text": _text,
    "csv": _csv,
    "jsonl": _jsonl,
    "release": _release,
}
PREDICTION_FORMATS = tuple(_FORMATS)
