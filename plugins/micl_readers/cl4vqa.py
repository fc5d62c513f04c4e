"""CL4VQA (CL-MoE, Huai et al., CVPR 2025, arXiv 2503.00413): VQA v2 divided into ten tasks by question type.

Layout: ``train_q_recognition.json`` and ``val_q_recognition.json``, and so on, at the root or in a folder of the names
listed in ``FOLDERS``; images in ``train2014/`` and ``val2014/`` of COCO. The release of CL-MoE has
``train/train_q_recognition.json`` and ``test/test_q_recognition.json`` in the formats of LLaVA. The format of the
files, which is assumed (the published ones could not be compared), is one of:

- a list of objects with the keys of VQA v2: ``question_id``, ``image_id``, ``question``, ``answers`` (ten objects with
  ``answer``) and ``multiple_choice_answer``;
- an object with the two lists ``questions`` and ``annotations`` of VQA v2, which belong together by ``question_id``;
- a list in the formats of LLaVA, with conversations for training, or questions with ``text`` and ``answer``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
    TextError,
    field_of,
    json_head,
    rows_of_each,
    text_field,
)
from micl_readers.llava import conversation, images_of, published_id, question_row, under
from micl_readers.llava_suite import MAX_NEW_TOKENS, below, whole_number

FOLDERS = ("", "CL4VQA", "Partition_Q_V2", "instructions", "annotations")
CL_MOE = "cl-moe"
"""The scorer variant of CL-MoE's release: equality in upper case, as of CoIN's VQAv2."""
_NAMES = {"train": ("train_q", "train/train_q"), "val": ("val_q", "test/test_q", "test_q")}
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
_BASES = ("", "COCO2014/", "images/", "coco/", "data/")
_PLACES = under(*(f"{base}{split}" for base in _BASES for split in _IMAGES["train"]), "data")


class CL4VQA(Reader):
    """CL4VQA: ten types of questions about photographs."""

    benchmark = "cl4vqa"
    title = "CL4VQA"
    marks = tuple(f"{folder}train_q_recognition.json" for folder in ("", "*/", "*/*/"))
    licence = "CC BY 4.0 (annotations of VQA v2); images under the terms of Flickr, as in COCO"
    citation = "Huai et al., CL-MoE, CVPR 2025, arXiv 2503.00413"
    origin = "ECNU-ICALK/CL-MoE"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        name: ReaderTask(
            modalities=frozenset({"image"}),
            type=QA,
            scorers={RELEASE: "vqa_accuracy", STRICT: "vqa_accuracy", CL_MOE: "exact_upper"},
            description=f"questions about photographs (VQA v2): {asked}",
            max_new_tokens=MAX_NEW_TOKENS,
        )
        for name, asked in TYPES.items()
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the files of training and validation questions of a type. The latter form the test split."""
        return {
            role: source.find(*below(FOLDERS, *(f"{name}_{task}.json" for name in names)))
            for role, names in _NAMES.items()
        }

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the training questions, then those of the validation file as the test split."""
        return chain(_rows(source, files["train"], "train"), _rows(source, files["val"], "val"))


def _rows(source: Source, path: Path, role: str) -> SourceRows:
    counts: Counter[str] = Counter()

    def make(where: str, item: Any) -> Iterator[Row]:
        for row in _made(item, where, source, role):
            counts[row.id] += 1
            repeated = f"#{counts[row.id]}" if role == "train" and counts[row.id] > 1 else ""
            yield replace(row, id=f"train-{row.id}{repeated}" if role == "train" else row.id)

    return rows_of_each(_items(source, path), make)


def _items(source: Source, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the location and value of each question; the two lists of VQA v2 are joined."""
    if _is_list(path):
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


def _is_list(path: Path) -> bool:
    """Return whether a file holds a list, and not an object, or cannot be read, which is reported later."""
    try:
        return json_head(path).shape == "list"
    except (OSError, TextError):
        return True


def _made(item: Any, where: str, source: Source, role: str) -> Sequence[Row]:
    if isinstance(item, Mapping) and "conversations" in item and role == "train":
        return conversation(item, where, images_of(item, where, source, _PLACES))
    if isinstance(item, Mapping) and "text" in item and role == "val":
        return [question_row(item, where, images_of(item, where, source, _PLACES))]
    return [_vqa_row(item, where, source, role)]


def _vqa_row(item: Any, where: str, source: Source, role: str) -> Row:
    name, asked = text_field(item, "question_id", where), text_field(item, "question", where)
    content = (Media("image", Path(_coco_image(item, where, source, role))), asked)
    if role == "train":
        answer = text_field(item, "multiple_choice_answer", where)
        return Row(name, "train", content, (answer,))
    answers = field_of(item, "answers", where)
    if not isinstance(answers, list):
        raise ManifestError(f"{where}: answers is not a list", "Is this the file that was published?")
    texts = tuple(each if isinstance(each, str) else text_field(each, "answer", where) for each in answers)
    category = item.get("answer_type") if isinstance(item.get("answer_type"), str) else ""
    meta = {**published_id(item), **({"category": category} if category else {})}
    return Row(name, "test", content, texts, meta=meta)


def _coco_image(item: Any, where: str, source: Source, role: str) -> str:
    """Return the path of the image with the item's number in COCO 2014."""
    number = whole_number(item, "image_id", where)
    names = (f"{split}/COCO_{split}_{number:012d}.jpg" for split in _IMAGES[role])
    return source.first_medium([f"{base}{name}" for name in names for base in _BASES])
