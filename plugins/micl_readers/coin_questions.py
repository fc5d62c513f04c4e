"""Questions of CoIN whose answers are in other files or under other keys."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from micl_cli.api import QUESTION_ID, ManifestError, Row, Source, field_of, text_field
from micl_readers.llava import Images, MakeQuestion, question_row
from micl_readers.llava_suite import numbers_of

ANSWERS = {
    "scienceqa": {"problems": "ScienceQA/problems.json"},
    "textvqa": {"answers": "TextVQA/TextVQA_0.5.1_val.json"},
    "gqa": {"answers": "GQA/testdev_balanced_questions.json"},
}
"""The files with the answers of a task by role, below the folder of data sets."""
OPTIONAL = frozenset({"problems"})
"""The roles of optional files; without them, the answers in the question files are used."""
LETTERS = "ABCDEFGHIJ"
_OPTION = re.compile(r"[A-Z](?!\w)")


def question(task: str, files: Mapping[str, Path], source: Source) -> MakeQuestion:
    """Return the function that builds the rows of a task's questions. Raises ManifestError for malformed answers."""
    if task == "scienceqa":
        return _scienceqa(_problems(files["problems"], source) if "problems" in files else {})
    if task == "textvqa" and "answers" in files:
        return _textvqa(_textvqa_answers(files["answers"], source), _repeated_ids(files["test"], source))
    if task == "gqa" and "answers" in files:
        return _gqa(files["answers"], source)
    return grounding if task == "grounding" else question_row


def grounding(item: Mapping[str, Any], where: str, images: Images) -> Row:
    """Return the row of a question for a box, with the box and the size of the image in its metadata."""
    box = numbers_of(item, "answer_bbox", 4, where)
    size = numbers_of(item, "size", 2, where)
    if box[0] >= box[2] or box[1] >= box[3] or min(size) <= 0:
        raise ManifestError(f"{where}: the box {box} in an image of {size} has no area")
    answer = item.get("answer")
    text = answer if isinstance(answer, str) and answer.strip() else json.dumps(box)
    return question_row(item, where, images, references=(text,), meta={"bbox": box, "size": size})


# ScienceQA: the answer's letter, from problems.json if it is there


def _problems(path: Path, source: Source) -> dict[str, tuple[str, str]]:
    """Return letter and subject by problem id."""
    document = source.json(path)
    if not isinstance(document, Mapping):
        raise ManifestError(f"{source.where(path)}: it is not an object", "Is this the file that was published?")
    return {str(name): _problem(value, f"{source.where(path)} ({name})") for name, value in document.items()}


def _problem(value: Any, where: str) -> tuple[str, str]:
    choices, index = field_of(value, "choices", where), field_of(value, "answer", where)
    if not isinstance(choices, list) or isinstance(index, bool) or not isinstance(index, int):
        raise ManifestError(f"{where}: choices is not a list, or answer is not a number")
    if not 0 <= index < min(len(choices), len(LETTERS)):
        raise ManifestError(f"{where}: answer {index} is not one of its {len(choices)} choices")
    subject = value.get("subject")
    return LETTERS[index], subject if isinstance(subject, str) else ""


def _scienceqa(problems: Mapping[str, tuple[str, str]]) -> MakeQuestion:
    def make(item: Mapping[str, Any], where: str, images: Images) -> Row:
        if problems:
            name = text_field(item, "question_id", where)
            if name not in problems:
                raise ManifestError(f"{where}: problems.json has no question {name}")
            letter, subject = problems[name]
            return question_row(
                item, where, images, references=(letter,), meta={"category": subject} if subject else {}
            )
        row = question_row(item, where, images)
        if not row.references or not _OPTION.match(row.references[0].strip()):
            what = f"the answer {', '.join(row.references)!r} is not the letter of an option"
            raise ManifestError(f"{where}: {what}; problems.json of ScienceQA has the letters")
        return row

    return make


# TextVQA: the ten answers, from the annotations of the data set

_Answers = tuple[str, ...]


def _textvqa_answers(path: Path, source: Source) -> dict[tuple[str, str], _Answers]:
    """Return the answers of each question, by (image id, question in lower case) and by (question id, "")."""
    found: dict[tuple[str, str], _Answers] = {}
    for where, item in source.json_items(path, "data"):
        answers = field_of(item, "answers", where)
        if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
            raise ManifestError(f"{where}: answers is not a list of texts", "Is this TextVQA_0.5.1_val.json?")
        asked = text_field(item, "question", where).strip().lower()
        found[text_field(item, "image_id", where), asked] = tuple(answers)
        found[text_field(item, "question_id", where), ""] = tuple(answers)
    return found


def _repeated_ids(path: Path, source: Source) -> frozenset[str]:
    """Return the ids of several questions each: ids may be those of images."""
    items = (item for _, item in source.json_items(path) if isinstance(item, Mapping))
    counts = Counter(str(item.get("question_id")) for item in items)
    return frozenset(name for name, count in counts.items() if count > 1)


def _textvqa(answers: Mapping[tuple[str, str], _Answers], repeated: frozenset[str]) -> MakeQuestion:
    counts: Counter[str] = Counter()

    def make(item: Mapping[str, Any], where: str, images: Images) -> Row:
        name, text = text_field(item, "question_id", where), text_field(item, "text", where)
        asked = text.strip().split("\n")[0].strip().lower()
        about = PurePosixPath(images[0]).stem if images else ""
        known = answers.get((about, asked)) or answers.get((name, ""))
        if not known:
            raise ManifestError(
                f"{where}: the annotations of TextVQA have no such question about {about or 'no image'}"
            )
        row = question_row(item, where, images, references=known)
        if name not in repeated:
            return row
        counts[name] += 1
        return replace(row, id=f"{name}#{counts[name]}", meta={QUESTION_ID: item["question_id"]})

    return make


# GQA: the answer by id, from the questions of the data set


def _gqa(path: Path, source: Source) -> MakeQuestion:
    questions = source.json(path)
    if not isinstance(questions, Mapping):
        raise ManifestError(f"{source.where(path)}: it is not an object", "Is this the file that was published?")

    def make(item: Mapping[str, Any], where: str, images: Images) -> Row:
        name = text_field(item, "question_id", where)
        if name not in questions:
            raise ManifestError(f"{where}: {source.where(path)} has no question {name}")
        answer = text_field(questions[name], "answer", f"{source.where(path)} ({name})")
        return question_row(item, where, images, references=(answer,))

    return make
