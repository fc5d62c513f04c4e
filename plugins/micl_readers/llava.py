"""Formats of LLaVA-style benchmarks: conversations for training, and questions for testing.

Training examples are ``{"id", "image", "conversations": [{"from": "human", "value": "<image>\\n..."}, {"from": "gpt",
"value": "..."}]}``; ``image`` is absent for text alone, and a list for several images. Each turn of a conversation is
an example, whose content holds the turns before it. Test questions are ``{"question_id", "image", "text", "answer"}``.
Training examples may have media of another modality, such as a ``video`` with the mark ``<video>``.

LLaVA moves the mark of an image to the beginning of its turn, wherever it is in the file. So does the prompt
variant "published"; other variants keep its place. The marks of several images always keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from micl_cli.api import (
    PUBLISHED,
    QUESTION_ID,
    Content,
    ManifestError,
    Media,
    Row,
    Source,
    SourceRows,
    field_of,
    rows_of,
    rows_of_each,
    text_field,
)

IMAGE = "<image>"
"""The mark of an image in a text. Media of another modality use its name as key and in their mark."""
Places = Callable[[str], list[str]]
"""Returns the possible paths, below the media root, of a file named in an annotation."""
Images = tuple[str, ...]
"""The paths of the images, or other media, of an example below the media root."""
MakeQuestion = Callable[[Mapping[str, Any], str, Images], Row]
"""Builds the row of a question from the item, its location, and its images."""


# Training examples


def conversation_rows(source: Source, path: Path, places: Places, modality: str = "image") -> SourceRows:
    """Yield a training example for each turn of each conversation in a file."""
    taken: set[str] = set()

    def make(where: str, item: Any) -> Iterator[Row]:
        images = images_of(item, where, source, places, modality)
        for row in conversation(item, where, images, image_first=source.prompts == PUBLISHED, modality=modality):
            yield Row(f"train-{_unique(row.id, taken)}", "train", row.content, row.references)

    return rows_of_each(source.json_items(path), make)


def conversation(
    item: Any, where: str, images: Images, *, image_first: bool = True, modality: str = "image"
) -> list[Row]:
    """Return a training example for each turn of a conversation. Raises ManifestError.

    The id is that of the item, or its line if it has none, followed by the number of the turn from the second on.
    """
    values, mark = _turns(item, where), f"<{modality}>"
    questions, answers = values[::2], values[1::2]
    marks = [question.count(mark) for question in questions]
    if sum(marks) not in (0, len(images)):
        raise ManifestError(f"{where}: {_mismatch(sum(marks), images, modality)}")
    if not sum(marks):
        questions[0], marks[0] = mark * len(images) + questions[0], len(images)
    name = text_field(item, "id", where) if "id" in item else where.rpartition(":")[2]
    rows: list[Row] = []
    before: Content = ()
    for turn, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        used = sum(marks[:turn])
        shown = images[used : used + marks[turn]]
        before = joined(*before, *with_images(question, shown, where, first=image_first, modality=modality))
        rows.append(Row(f"{name}/{turn + 1}" if turn else name, "train", before, (answer,)))
        before = joined(*before, answer.strip())
    return rows


def _turns(item: Any, where: str) -> list[str]:
    """Return the texts of a conversation, questions and answers in turn."""
    turns = field_of(item, "conversations", where)
    if not isinstance(turns, list):
        raise ManifestError(f"{where}: conversations is not a list")
    speakers = [text_field(turn, "from", where) for turn in turns]
    if not turns or speakers != ["human", "gpt"] * (len(turns) // 2):
        raise ManifestError(f"{where}: the turns are {', '.join(speakers) or 'missing'}, not human, gpt, ...")
    return [text_field(turn, "value", where) for turn in turns]


def _unique(name: str, taken: set[str]) -> str:
    """Return ``name``, with a number appended if it is taken: published files repeat ids."""
    names = (name if number == 1 else f"{name}#{number}" for number in count(1))
    free = next(each for each in names if each not in taken)
    taken.add(free)
    return free


# Test questions


def question_rows(source: Source, path: Path, places: Places, make: MakeQuestion | None = None) -> SourceRows:
    """Yield a test example for each question in a file; ``make`` builds a row from (item, location, images)."""
    build = make or question_row

    def row(where: str, item: Any) -> Row:
        field_of(item, "question_id", where)  # raises for an item that is not an object
        return build(item, where, images_of(item, where, source, places))

    return rows_of(source.json_items(path), row)


def question_row(
    item: Mapping[str, Any],
    where: str,
    images: Images,
    *,
    prefix: str = "",
    suffix: str = "",
    references: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Row:
    """Return a test example: its id is the published question id, its prompt the question with prefix and suffix."""
    text = text_field(item, "text", where)
    if not text.strip():
        raise ManifestError(f"{where}: the question is empty")
    content = tuple(
        prefix + part if isinstance(part, str) else part
        for part in with_images(text + suffix, images, where, first=True)
    )
    texts = answers(item, where) if references is None else tuple(references)
    name = text_field(item, QUESTION_ID, where)
    return Row(name, "test", content, texts, meta={**published_id(item), **(meta or {})})


def published_id(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the id of a question as metadata if it is not a text, so that predictions are written with the same."""
    return {} if isinstance(item[QUESTION_ID], str) else {QUESTION_ID: item[QUESTION_ID]}


def answers(item: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the reference answers of a question: a text, a number, or a list of them."""
    value = field_of(item, "answer", where)
    if not isinstance(value, list):
        return (text_field(item, "answer", where),)
    return tuple(text_field({"answer": each}, "answer", where) for each in value)


# Images


def images_of(item: Any, where: str, source: Source, places: Places, modality: str = "image") -> Images:
    """Return the images of an item, each at the first of its possible paths that exists; none if the key is absent."""
    value = item.get(modality) if isinstance(item, Mapping) else None
    names = value if isinstance(value, list) else [value] if value not in (None, "") else []
    if not all(isinstance(name, str) and name for name in names):
        raise ManifestError(f"{where}: {modality} is neither a path nor a list of paths")
    return tuple(_place(source, places, clean_path(name)) for name in names)


def with_images(
    text: str, images: Sequence[str], where: str, *, first: bool = False, modality: str = "image"
) -> Content:
    """Return a content with images at their marks in ``text``, or before the text if it has none.

    ``first`` moves a single image to the front. Raises ManifestError if the numbers of marks and images differ.
    """
    pieces = text.split(f"<{modality}>")
    marks = len(pieces) - 1
    if marks not in (0, len(images)):
        raise ManifestError(f"{where}: {_mismatch(marks, images, modality)}")
    media = [Media(modality, Path(path)) for path in images]
    if not marks or (first and marks == 1):
        return joined(*media, "".join(pieces).strip())
    shown = [part for piece, medium in zip(pieces, media, strict=False) for part in (piece.strip(), medium)]
    return joined(*shown, pieces[-1].strip())


def clean_path(path: str) -> str:
    """Return a path of an annotation without a leading "./"."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def under(*folders: str) -> Places:
    """Return a function that yields the paths of a file below each of ``folders``, and its own path.

    Some published paths already begin with the folder of the data set or of one of its parts; where that is the first
    folder of one of ``folders``, the path without it is tried too.
    """
    heads = {folder.partition("/")[0] for folder in folders if folder}

    def places(path: str) -> list[str]:
        head, _, inner = path.partition("/")
        known = inner and head in heads
        names = [path, inner] if known else [path]
        below = [f"{folder}/{name}" for name in names for folder in folders if folder]
        return list(dict.fromkeys([path, *below, inner] if known else [*below, path]))

    return places


def _place(source: Source, places: Places, path: str) -> str:
    """Return the path of an image; ``path`` may begin with the name of the media root itself."""
    if path.startswith("/"):
        return path  # rejected later as an absolute path
    head, _, inner = path.partition("/")
    further = places(inner) if inner and head == source.media_root.name else []
    return source.first_medium([*places(path), *further])


def joined(*parts: str | Media) -> Content:
    """Return a content without empty texts, in which adjacent texts are joined by line breaks."""
    content: list[str | Media] = []
    for part in parts:
        if isinstance(part, str) and content and isinstance(content[-1], str):
            content[-1] = "\n".join(filter(None, (content[-1], part)))
        elif part != "":
            content.append(part)
    return tuple(content)


def _mismatch(marks: int, images: Sequence[str], modality: str) -> str:
    if marks and not images:
        one = "an image" if modality == "image" else f"a {modality}"
        return f"the text refers to {one}, but the key {modality!r} is missing"
    return f"the text refers to {marks} {modality}s, and {len(images)} are given"
