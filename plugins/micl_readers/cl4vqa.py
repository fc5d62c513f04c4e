"""CL4VQA (CL-MoE, Huai et al., CVPR 2025, arXiv 2503.00413): VQA v2 cut into ten tasks by type of question.

Layout: ``train_q_recognition.json`` and ``val_q_recognition.json``, and so on, at the root or in a folder of the names
listed in ``FOLDERS``; images in ``train2014/`` and ``val2014/`` of COCO. The format of the files, which is assumed (the
published one could not be compared), is one of:

- a list of objects with the keys of VQA v2: ``question_id``, ``image_id``, ``question``, ``answers`` (ten objects with
  ``answer``) and ``multiple_choice_answer``;
- an object with the two lists ``questions`` and ``annotations`` of VQA v2, which belong together by ``question_id``;
- a list in the formats of LLaVA, with conversations to learn from, or questions with ``text`` and ``answer``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import (
    QA,
    RELEASE,
    STRICT,
    ManifestError,
    Media,
    Reader,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    field_of,
    rows_of,
    text_field,
)
from micl_readers.chat_formats import begins_with_object
from micl_readers.llava import clean_path, conversation_row, question_row, under

FOLDERS = ("", "Partition_Q_V2", "instructions", "annotations")
TYPES = {
    "recognition": "what something is",
    "location": "where something is",
    "judge": "yes or no",
    "commonsense": "what is likely",
    "count": "how many",
    "action": "what somebody does",
    "color": "colours",
    "type": "of which type something is",
    "subcategory": "of which kind or brand something is",
    "causal": "why",
}
_IMAGES = {"train": ("train2014", "val2014"), "val": ("val2014", "train2014")}
_PLACES = under(*(f"{base}{split}" for base in ("", "COCO2014/", "images/", "coco/") for split in _IMAGES["train"]))


class CL4VQA(Reader):
    """CL4VQA: ten types of questions about photographs."""

    benchmark = "cl4vqa"
    title = "CL4VQA"
    marks = tuple(f"{folder}train_q_recognition.json" for folder in ("", "*/"))
    licence = "CC BY 4.0 (annotations of VQA v2); images under the terms of Flickr, as in COCO"
    citation = "Huai et al., CL-MoE, CVPR 2025, arXiv 2503.00413"
    origin = "ECNU-ICALK/CL-MoE"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        name: ReaderTask(
            modalities=frozenset({"image"}),
            type=QA,
            scorers={RELEASE: "vqa_accuracy", STRICT: "vqa_accuracy"},
            description=f"questions about photographs (VQA v2): {asked}",
        )
        for name, asked in TYPES.items()
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the files of training and validation questions of a type. The latter are the test."""
        return {
            role: source.find(*(f"{folder}/{role}_q_{task}.json".lstrip("/") for folder in FOLDERS))
            for role in ("train", "val")
        }

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the training questions, then those of the validation file as the test."""
        return chain(_rows(source, files["train"], "train"), _rows(source, files["val"], "val"))


def _rows(source: Source, path: Path, role: str) -> SourceRows:
    counts: Counter[str] = Counter()

    def make(where: str, item: Any) -> Row:
        row = _row(item, where, source, role)
        counts[row.id] += 1
        if role == "train" and counts[row.id] > 1:
            return Row(f"{row.id}#{counts[row.id]}", row.split, row.content, row.references)
        return row

    return rows_of(_items(source, path), make)


def _items(source: Source, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the place and value of each question; the two lists of VQA v2 are joined."""
    if not begins_with_object(path):
        yield from source.json_items(path)
        return
    annotations: dict[str, Any] = {}
    for where, annotation in source.json_items(path, "annotations"):
        name = text_field(annotation, "question_id", where)
        if name in annotations:
            raise ManifestError(f"{where}: question {name} has two annotations", "Is this the published file?")
        annotations[name] = annotation
    for where, question in source.json_items(path, "questions"):
        name = text_field(question, "question_id", where)
        if name not in annotations:
            raise ManifestError(f"{where}: question {name} has no annotation", "Is this the published file?")
        yield where, {**annotations[name], **question}


def _row(item: Any, where: str, source: Source, role: str) -> Row:
    if isinstance(item, Mapping) and "conversations" in item and role == "train":
        row = conversation_row(item, 0, where, lambda name: source.first_medium(_PLACES(name)))
        if len(item["conversations"]) > 2:
            raise ManifestError(f"{where}: a question of VQA v2 has one turn, not several")
        return Row(f"train-{row.id}", "train", row.content, row.references)
    if isinstance(item, Mapping) and "text" in item and role == "val":
        file = source.first_medium(_PLACES(clean_path(text_field(item, "image", where))))
        return question_row(item, where, file)
    return _vqa_row(item, where, source, role)


def _vqa_row(item: Any, where: str, source: Source, role: str) -> Row:
    name, asked = text_field(item, "question_id", where), text_field(item, "question", where)
    content = (Media("image", Path(_coco_image(item, where, source, role))), asked)
    if role == "train":
        answer = text_field(item, "multiple_choice_answer", where)
        return Row(f"train-{name}", "train", content, (answer,))
    answers = field_of(item, "answers", where)
    if not isinstance(answers, list):
        raise ManifestError(f"{where}: answers is not a list", "Is this the file that was published?")
    texts = tuple(each if isinstance(each, str) else text_field(each, "answer", where) for each in answers)
    category = item.get("answer_type")
    return Row(name, "test", content, texts, meta={"category": category} if isinstance(category, str) else {})


def _coco_image(item: Any, where: str, source: Source, role: str) -> str:
    """Return the path of the image with a number in COCO 2014."""
    number = text_field(item, "image_id", where)
    if not number.isdecimal():
        raise ManifestError(f"{where}: image_id is not a number: {number!r}", "Is this the file that was published?")
    names = (f"{split}/COCO_{split}_{int(number):012d}.jpg" for split in _IMAGES[role])
    bases = ("", "COCO2014/", "images/", "coco/")
    return source.first_medium([f"{base}{name}" for name in names for base in bases])
