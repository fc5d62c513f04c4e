"""Suites whose tasks consist of a file of LLaVA-style conversations and a file of questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import PUBLISHED, ManifestError, Reader, Row, Source, SourceRows, field_of, rows_of, text_field
from micl_readers.llava import (
    MakeQuestion,
    Places,
    conversation_rows,
    images_of,
    question_row,
    question_rows,
    under,
)

MAX_NEW_TOKENS = 1024
"""The maximum length of answers in the scripts of these suites."""
_DIGITS = 12
_LARGEST = 10**_DIGITS
"""An upper bound of image numbers and coordinates."""


@dataclass(frozen=True)
class Layout:
    """The files of a task: possible paths of each annotation file by role, and possible folders of images.

    ``optional`` holds the roles of files that may be missing.
    """

    files: Mapping[str, tuple[str, ...]]
    train_images: tuple[str, ...] = ()
    test_images: tuple[str, ...] = ()
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def below(folders: tuple[str, ...], *names: str) -> tuple[str, ...]:
    """Return the path of each name below each folder; an empty folder name stands for the root."""
    return tuple(f"{folder}/{name}" if folder else name for folder in folders for name in names)


class LlavaSuite(Reader):
    """A suite in the formats of :mod:`micl_readers.llava`."""

    @abstractmethod
    def layout(self, task: str, source: Source) -> Layout:
        """Return the layout of a task."""

    def question(self, task: str, files: Mapping[str, Path], source: Source) -> MakeQuestion:
        """Return the function that builds the rows of a task's questions. Raises ManifestError for a malformed file."""
        return question_row

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the annotation files of a task by role. Raises ManifestError if one is missing."""
        layout = self.layout(task, source)
        found = {role: source.find(*names) for role, names in layout.files.items()}
        for role, names in layout.optional.items():
            if source.has_file(*names):
                found[role] = source.find(*names)
        return found

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the conversations, then the questions. Raises ManifestError for a malformed file."""
        layout = self.layout(task, source)
        learnt = replace(source, prompts=PUBLISHED)  # other variants only select files: images always come first
        return chain(
            conversation_rows(learnt, files["train"], under(*layout.train_images)),
            self.questions(task, files, source, under(*layout.test_images)),
        )

    def questions(self, task: str, files: Mapping[str, Path], source: Source, places: Places) -> SourceRows:
        """Yield the rows of a task's questions."""
        return question_rows(source, files["test"], places, self.question(task, files, source))


def caption_rows(source: Source, path: Path, references: Path, places: Places) -> SourceRows:
    """Yield a test example for each item of ``path``, with captions of a file in COCO's layout as references.

    The images in ``references`` are numbered from 1 in the order of the items, as the evaluations of these suites
    number predictions. Raises ManifestError unless there are as many images as items: the references would be shifted.
    """
    captions = numbered_captions(source, references)

    def items() -> Iterator[tuple[str, Any]]:
        number = 0
        for number, (where, item) in enumerate(source.json_items(path), 1):
            yield where, (number, item)
        if number != len(captions):
            what = f"{number:,} questions, but {source.where(references)} has {len(captions):,} images"
            raise ManifestError(f"{source.where(path)}: {what}", "Both files must be of the same release.")

    def row(where: str, numbered: tuple[int, Any]) -> Row:
        number, item = numbered
        if not captions.get(number):
            raise ManifestError(f"{where}: {source.where(references)} has no caption of image {number}")
        return question_row(item, where, images_of(item, where, source, places), references=captions[number])

    return rows_of(items(), row)


def numbered_captions(source: Source, path: Path) -> dict[int, list[str]]:
    """Return the captions by image number from a COCO file. Raises ManifestError unless it has images 1 to N."""
    captions: dict[int, list[str]] = {}
    for where, image in source.json_items(path, "images"):
        captions[whole_number(image, "id", where)] = []
    if sorted(captions) != list(range(1, len(captions) + 1)):
        what = f"the ids of its {len(captions):,} images are not 1 to {len(captions):,}"
        raise ManifestError(f"{source.where(path)}: {what}", "Is this the file that was published?")
    for where, annotation in source.json_items(path, "annotations"):
        number = whole_number(annotation, "image_id", where)
        if number not in captions:
            raise ManifestError(f"{where}: there is no image {number}", "Is this the file that was published?")
        captions[number].append(text_field(annotation, "caption", where))
    return captions


def whole_number(item: Any, key: str, where: str) -> int:
    """Return the whole number under ``key`` of an object. Raises ManifestError if it is not one."""
    value = text_field(item, key, where)
    if not value.isdecimal() or len(value) > _DIGITS:
        raise ManifestError(f"{where}: {key} is not a number: {value[:40]!r}", "Is this the file that was published?")
    return int(value)


def numbers_of(item: Any, key: str, count: int, where: str) -> list[float]:
    """Return ``count`` numbers under ``key`` of an object, a list or a text of one. Raises ManifestError."""
    value = _listed(field_of(item, key, where))
    if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
        raise ManifestError(f"{where}: {key} is not a list of {count} numbers", "Is this the file that was published?")
    return [float(number) for number in value]


def _listed(value: Any) -> Any:
    """Return the numbers in a text such as "[0.1, 0.2]" as a list, and any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return [float(number) for number in value.strip(" []").split(",")]
    except ValueError:
        return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


class ImageSuite(LlavaSuite):
    """A suite with the same layout for all tasks: ``instructions/TASK/`` and images below ``datasets/``."""

    folders: ClassVar[Mapping[str, tuple[str, ...]]]
    """The possible names of a task's folder of instructions, by task."""
    images: ClassVar[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]]
    """The folders of images of training and of test examples, below ``datasets/``, by task."""

    def instructions(self, task: str, *names: str) -> tuple[str, ...]:
        """Return the possible paths of annotation files of a task: below ``instructions/``, or below the root."""
        return below(below(("instructions", ""), *self.folders[task]), *names)

    def image_folders(self, task: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the folders of images of training and of test examples, below ``datasets/`` or the media root."""
        train, test = self.images[task]
        return _datasets(train), _datasets(test)


def _datasets(folders: tuple[str, ...]) -> tuple[str, ...]:
    return ("datasets", *below(("datasets", ""), *folders))
