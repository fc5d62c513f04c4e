"""Questions and answers in the format of VQA v2, in two files.

``{"questions": [{"image_id", "question", "question_id"}], "data_subtype": "train2014"}`` and ``{"annotations":
[{"question_id", "image_id", "answers": [{"answer"}, ...]}]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from micl_cli.api import (
    ExistingFile,
    Fault,
    Format,
    Item,
    Items,
    ManifestError,
    Match,
    Source,
    field_of,
    json_head,
    text_field,
)


class Vqa(Format):
    """Questions as in VQA v2, with the annotators' answers in a second file. All answers are references."""

    name = "vqa"
    type = "qa"
    metric = "vqa_accuracy"
    suffixes = (".json",)
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "image": ("image",),
        "prompt": ("question",),
        "answer": ("answers",),
        "id": ("question_id",),
    }

    def __init__(
        self,
        *,
        annotations: Annotated[
            Path | None, "the file of answers, if its name is not the published one", ExistingFile()
        ] = None,
    ) -> None:
        self.annotations = annotations

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match files that begin with questions or answers."""
        if not path.is_file() or path.suffix.lower() not in cls.suffixes:
            return Match.NONE
        shape, keys = json_head(path)
        found = {"questions", "question_id"} <= keys or {"annotations", "question_id", "answers"} <= keys
        return Match.CONTENT if shape == "object" and found else Match.NONE

    def files(self, path: Path) -> Mapping[str, Path]:
        """Return the files of questions and of answers."""
        return {"questions": path, "annotations": self._annotations(path)}

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each question, and a fault for one without answers and for answers without a question."""
        answers, places = self._answers(path, source)
        folder = _folder(path)
        for where, item in source.json_items(path, "questions"):
            question = text_field(item, "question_id", where)
            if found := answers.pop(question, None):
                image = _image(text_field(item, "image_id", where), folder, source)
                values = {"question_id": question, "question": text_field(item, "question", where), "image": image}
                yield Item(where, {**values, "answers": found})
            else:
                twice = question in places
                reason = f"question id {question} occurs twice" if twice else f"question {question} has no answers"
                yield Fault(where, question, reason)
        for question in answers:
            yield Fault(places[question], question, f"answers to question {question}, which is not among the questions")

    def _answers(self, path: Path, source: Source) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Return the answers by question id, and their locations."""
        answers: dict[str, list[str]] = {}
        places: dict[str, str] = {}
        for where, item in source.json_items(self._annotations(path), "annotations"):
            question = text_field(item, "question_id", where)
            if question in places:
                what = f"{where}: answers to question {question} are also at {places[question]}"
                raise ManifestError(what, "Leave one of them out.")
            places[question] = where
            found = field_of(item, "answers", where)
            if not isinstance(found, list) or not found:
                raise ManifestError(
                    f"{where}: answers is not a list of answers", "Is this the file that was published?"
                )
            answers[question] = [text_field(answer, "answer", where) for answer in found]
        return answers, places

    def _annotations(self, path: Path) -> Path:
        """Return the file of answers. Raises ManifestError if there is none."""
        if self.annotations:
            return self.annotations
        name = path.name.replace("OpenEnded_", "").replace("MultipleChoice_", "")
        if "annotations" in name:
            raise ManifestError(f"{path} holds the answers", "Name the file of questions with --from.")
        other = path.with_name(name.replace("questions", "annotations"))
        if other == path or not other.is_file():
            hint = "Name the file of answers: -o annotations FILE"
            raise ManifestError(f"{path}: no file {other.name if other != path else 'of answers'} beside it", hint)
        return other


def _folder(path: Path) -> str:
    """Return the name of the set of images in the name of a file: "train2014"."""
    return next((part for part in path.stem.split("_") if part[-4:].isdigit() and part[:-4].isalpha()), "")


def _image(image_id: str, folder: str, source: Source) -> str:
    """Return the path of an image, with or without the folder of its set, named as in COCO 2014 or 2017."""
    if not image_id.isdigit():
        return image_id
    names = [f"COCO_{folder}_{int(image_id):012}.jpg", f"{int(image_id):012}.jpg", f"{image_id}.jpg", f"{image_id}.png"]
    places = [*(f"{folder}/{name}" for name in names), *names] if folder else names[1:]
    return source.first_medium(places)
