"""OK-VQA (Marino et al. 2019): questions about COCO images that need outside knowledge, with ten answers each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import (
    QA,
    RELEASE,
    STRICT,
    Count,
    Fault,
    ManifestError,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    field_of,
    rows_of,
    text_field,
)
from micl_readers.micl.dataset import DataSet

PARTS = {"train": "train2014", "test": "val2014"}
Annotations = dict[str, tuple[str, Any]]
"""The location and value of each annotation by question id."""


class OKVQA(DataSet):
    """``train2014/`` and ``val2014/`` with COCO's file names. The test split is val2014, as in published tables."""

    title = "OK-VQA"
    modality = "image"
    folders = ("", "OK-VQA", "coco/OK-VQA", "dataset/coco/OK-VQA", "coco", "dataset/coco")
    annotations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        f"{split} {role}": (f"{name}.json",)
        for split, part in PARTS.items()
        for role, name in (
            ("questions", f"OpenEnded_mscoco_{part}_questions"),
            ("annotations", f"mscoco_{part}_annotations"),
        )
    }
    media = ("{split}", "")
    references: ClassVar[Mapping[str, int]] = {"train": 10, "test": 10}
    task = ReaderTask(
        modalities=frozenset({"image"}),
        type=QA,
        scorers={RELEASE: "vqa_accuracy_simple", STRICT: "vqa_accuracy"},
        description="questions about images that need outside knowledge (OK-VQA)",
        counts={"train": Count(9_009), "test": Count(5_046)},
        max_new_tokens=80,
        val_share=0.1,
        note="the test split is val2014; a tenth of the questions of train2014, by image, is set aside for validation: "
        "that of the paper is not published",
    )

    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each question."""
        return self.counted(chain.from_iterable(self._part(files, source, split) for split in PARTS), source)

    def _part(self, files: Mapping[str, Path], source: Source, split: str) -> SourceRows:
        part, path = PARTS[split], files[f"{split} annotations"]
        find, annotations = self.media_finder(source, part), _annotations(source, path)

        def row(where: str, item: Any) -> Row:
            id, image = text_field(item, "question_id", where), _image_id(item, where)
            if id not in annotations:
                raise ManifestError(f"{where}: question {id} has no annotation in {path.name}, or is repeated")
            place, annotation = annotations.pop(id)
            if (other := _image_id(annotation, place)) != image:
                raise ManifestError(f"{place}: question {id} is about image {other}, but about {image} in {where}")
            name, question = f"COCO_{part}_{image:012d}.jpg", text_field(item, "question", where)
            return self.row(id, split, find(name), question, _answers(annotation, place))

        yield from rows_of(source.json_items(files[f"{split} questions"], "questions"), row)
        for id, (where, _) in annotations.items():
            yield Fault(where, id, f"question {id} is missing in {files[f'{split} questions'].name}")


def _annotations(source: Source, path: Path) -> Annotations:
    """Return all annotations of a file. Raises ManifestError if it belongs to another data set, or repeats an id."""
    annotations: Annotations = {}
    for where, item in source.json_items(path, "annotations"):
        id = text_field(item, "question_id", where)
        if not annotations and not _is_of_ok_vqa(item, where):
            hint = "VQA's files have the same names as OK-VQA's: name the folder of OK-VQA with --root."
            raise ManifestError(f"{where}: the answers have no key 'raw_answer'. It looks like VQA v1.", hint)
        if id in annotations:
            raise ManifestError(f"{where}: question {id} is also in {annotations[id][0]}", "Download the file again.")
        annotations[id] = where, item
    return annotations


def _is_of_ok_vqa(item: Any, where: str) -> bool:
    answers = field_of(item, "answers", where)
    return not isinstance(answers, list) or any(isinstance(each, dict) and "raw_answer" in each for each in answers)


def _image_id(item: Any, where: str) -> int:
    value = text_field(item, "image_id", where)
    if not (value.isdecimal() and value.isascii()):
        raise ManifestError(f"{where}: image_id {value!r} is not a number")
    return int(value)


def _answers(annotation: Any, where: str) -> list[str]:
    answers = field_of(annotation, "answers", where)
    if not isinstance(answers, list):
        raise ManifestError(f"{where}: answers is not a list")
    return [text_field(each, "answer", where) for each in answers]
