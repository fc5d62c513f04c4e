"""The formats of LLaVA-style benchmarks: conversations to learn from, and questions to answer.

Training examples are ``{"id", "image", "conversations": [{"from": "human", "value": "<image>\\n..."}, {"from": "gpt",
"value": "..."}]}``; ``image`` is absent for text alone. Test questions are ``{"question_id", "image", "text",
"answer"}``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from micl_cli.api import Content, ManifestError, Media, Row, Source, SourceRows, field_of, rows_of, text_field

IMAGE = "<image>"
Places = Callable[[str], list[str]]
"""Returns the paths, below the media root, where a file named in an annotation may be."""


def conversation_rows(source: Source, path: Path, places: Places) -> SourceRows:
    """Yield a training example for each turn of each conversation in a file."""
    counts: Counter[str] = Counter()

    def turns() -> Iterator[tuple[str, Any]]:
        for where, item in source.json_items(path):
            for turn in range(max(1, _turn_count(item))):
                yield where, (item, turn)

    def make(where: str, pair: tuple[Any, int]) -> Row:
        item, turn = pair
        row = conversation_row(item, turn, where, lambda name: source.first_medium(places(name)))
        counts[row.id] += 1  # published files repeat ids
        suffix = f"#{counts[row.id]}" if counts[row.id] > 1 else ""
        return Row(f"train-{row.id}{suffix}", "train", row.content, row.references)

    return rows_of(turns(), make)


def conversation_row(item: Any, turn: int, where: str, place: Callable[[str], str]) -> Row:
    """Return the training example of one turn of a conversation; earlier turns are part of its content."""
    turns = field_of(item, "conversations", where)
    values = [(text_field(each, "from", where), text_field(each, "value", where)) for each in turns]
    speakers = [speaker for speaker, _ in values]
    if not values or speakers != ["human", "gpt"] * (len(values) // 2):
        raise ManifestError(f"{where}: the turns are {', '.join(speakers) or 'missing'}, not human, gpt, ...")
    image = text_field(item, "image", where) if item.get("image") is not None else ""
    asked = "\n".join(value.strip() for _, value in values[: 2 * turn + 1])
    content = with_image(asked, place(clean_path(image)) if image else "", where)
    name = text_field(item, "id", where) if "id" in item else where.rpartition(":")[2]
    return Row(name if not turn else f"{name}/{turn + 1}", "train", content, (values[2 * turn + 1][1],))


def with_image(text: str, path: str, where: str) -> Content:
    """Return a content with the image where ``text`` has its mark, or before the text if it has none."""
    if IMAGE in text and not path:
        raise ManifestError(f"{where}: the text refers to an image, but the key 'image' is missing")
    if text.count(IMAGE) > 1:
        raise ManifestError(f"{where}: the text refers to {text.count(IMAGE)} images, and one is given")
    before, _, after = text.partition(IMAGE) if IMAGE in text else ("", "", text)
    medium = (Media("image", Path(path)),) if path else ()
    return tuple(part for part in (before.strip(), *medium, after.strip()) if part != "")


def clean_path(path: str) -> str:
    """Return a path of an annotation without a leading "./"."""
    return path.removeprefix("./")


def question_rows(
    source: Source, path: Path, places: Places, make: Callable[[Mapping[str, Any], str, str], Row] | None = None
) -> SourceRows:
    """Yield a test example for each question in a file; ``make`` turns (item, place, path of its image) into a row."""
    build = make or question_row

    def row(where: str, item: Any) -> Row:
        image = item.get("image") if isinstance(item, Mapping) else None
        file = source.first_medium(places(clean_path(text_field(item, "image", where)))) if image is not None else ""
        return build(item, where, file)

    return rows_of(source.json_items(path), row)


def question_row(item: Mapping[str, Any], where: str, image: str, *, suffix: str = "") -> Row:
    """Return a test example: its id is the published question id, its prompt the question and ``suffix``."""
    text = text_field(item, "text", where) + suffix
    return Row(text_field(item, "question_id", where), "test", with_image(text, image, where), answers(item, where))


def answers(item: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the reference answers of a question: a text, a number, or a list of them."""
    value = field_of(item, "answer", where)
    return tuple(map(str, value)) if isinstance(value, list) else (text_field(item, "answer", where),)


def under(*folders: str) -> Places:
    """Return a function that looks for a file below each of ``folders``, and by its own path.

    Some published paths already begin with the data set's folder, which the root may be; then the path without its
    first folder is tried too.
    """

    def places(path: str) -> list[str]:
        inner = PurePosixPath(*PurePosixPath(path).parts[1:]).as_posix()
        paths = [*(f"{folder}/{path}" for folder in folders), path, inner]
        return list(dict.fromkeys(paths))

    return places


def _turn_count(item: Any) -> int:
    turns = item.get("conversations") if isinstance(item, Mapping) else None
    return len(turns) // 2 if isinstance(turns, list) else 0


def chained(*parts: Iterable[Any]) -> SourceRows:
    """Yield the rows of several files, one after the other."""
    for part in parts:
        yield from part
