"""SEED-Bench (Li et al. 2023, arXiv 2307.16125), the questions about images: multiple choice in nine categories.

Layout: ``SEED-Bench.json``, ``{"questions": [{"question_id", "question", "choice_a" ... "choice_d", "answer",
"data_id", "data_type", "question_type_id"}], "question_type": {"Scene Understanding": 1, ...}}``, and
``SEED-Bench-image/``.

The options are listed in the prompt, and the letter is chosen by its likelihood. Deviation: the paper compares the
likelihoods of the options' texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from micl_cli.api import (
    CATEGORY,
    CHOICE,
    RELEASE,
    Count,
    ManifestError,
    Media,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    field_of,
    rows_of,
    text_field,
)
from micl_readers.general.options import letter_prompt
from micl_readers.general.suite import Suite

LETTERS = ("A", "B", "C", "D")
_FOLDERS = ("", "SEED-Bench/", "seed_bench/", "seed/")
_IMAGES = ("SEED-Bench-image", "SEED-Bench/SEED-Bench-image", "seed_bench/SEED-Bench-image", "seed/SEED-Bench-image")


def locate(source: Source) -> Mapping[str, Path]:
    """Return the file of questions."""
    return {"test": source.find(*(f"{folder}SEED-Bench.json" for folder in _FOLDERS))}


def rows(files: Mapping[str, Path], source: Source) -> SourceRows:
    """Yield the questions about images."""
    types = _types(source, files["test"])

    def make(where: str, item: Any) -> Row:
        number = text_field(item, "question_type_id", where)
        if number not in types:
            raise ManifestError(f"{where}: question_type_id {number} is not in question_type")
        return _row(source, where, item, types[number])

    return rows_of(_about_images(source, files["test"]), make)


def _types(source: Source, path: Path) -> dict[str, str]:
    """Return the names of the categories by number."""
    document, where = source.json(path), source.where(path)
    types = field_of(document, "question_type", where)
    if not isinstance(types, Mapping) or not all(isinstance(number, int) for number in types.values()):
        raise ManifestError(f"{where}: question_type is not an object of names and numbers")
    return {str(number): name for name, number in types.items()}


def _about_images(source: Source, path: Path) -> Iterator[tuple[str, Any]]:
    items = source.json_items(path, "questions")
    return ((where, item) for where, item in items if not isinstance(item, Mapping) or item.get("data_type") != "video")


def _row(source: Source, where: str, item: Any, category: str) -> Row:
    options = {letter: text_field(item, f"choice_{letter.lower()}", where) for letter in LETTERS}
    answer, file = text_field(item, "answer", where), text_field(item, "data_id", where)
    if answer not in LETTERS:
        raise ManifestError(f"{where}: answer is {answer!r}, not one of {', '.join(LETTERS)}")
    path = source.first_medium([f"{folder}/{file}" for folder in _IMAGES])
    content = (Media("image", Path(path)), letter_prompt(text_field(item, "question", where), options))
    name = text_field(item, "question_id", where)
    return Row(name, "test", content, (answer,), LETTERS, {CATEGORY: category, "data_id": file})


SEED = Suite(
    task=ReaderTask(
        modalities=frozenset({"image"}),
        type=CHOICE,
        scorers={RELEASE: "accuracy"},
        description="multiple choice about images (SEED-Bench)",
        counts={"test": Count(14_233, verified=False)},
        note="questions about videos (data_type video) are left out; letters are scored by their likelihood",
        evaluation_only=True,
    ),
    locate=locate,
    rows=rows,
    marks=("SEED-Bench.json", "SEED-Bench-image"),
    citation="Li et al., SEED-Bench: Benchmarking Multimodal LLMs with Generative Comprehension, arXiv 2307.16125",
    licence="CC BY-NC 4.0",
    origin="AILab-CVC/SEED-Bench",
)
