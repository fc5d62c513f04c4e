"""MMBench (Liu et al. 2023, arXiv 2307.06281): multiple choice, each question in every rotation of its options.

Layout: a table of tab-separated values with the columns index, question, hint, A, B, C, D, answer, category,
l2-category and image, which holds the bytes in base64 or, in some releases, the index of the row with the same
image. The rotations of a question have its index plus multiples of a million. The split is "dev"; the answers of
"test" are not published.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from micl_cli.api import (
    CATEGORY,
    GROUP,
    QA,
    QUESTION_ID,
    Count,
    ManifestError,
    Media,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    rows_of,
)
from micl_readers.general.options import letter_prompt
from micl_readers.general.suite import Suite

RULES = "rules"
"""The scorer variant without ChatGPT."""
_FOLDERS = ("", "mmbench/", "MMBench/", "LMUData/")
_NAMES = ("mmbench_dev_20230712.tsv", "mmbench_dev_en_20231003.tsv", "MMBench_DEV_EN.tsv", "MMBench_DEV_EN_V11.tsv")
_COLUMNS = ("index", "question", "answer", "category", "image", "A", "B")
_LETTERS = "ABCDEFGH"
_ROTATION = 1_000_000
_MAX_LINE = 64 << 20
"""The size limit in bytes of a row, most of which is an image."""
_LONGEST_INDEX = 64
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}


def locate(source: Source) -> Mapping[str, Path]:
    """Return the table of questions."""
    return {"test": source.find(*(f"{folder}{name}" for folder in _FOLDERS for name in _NAMES))}


def rows(files: Mapping[str, Path], source: Source) -> SourceRows:
    """Write the images, and yield an example for each row."""
    rotations = Counter(_index(where, values) % _ROTATION for where, values in _table(source, files["test"]))
    images = _Images(source.folder)

    def make(where: str, values: Mapping[str, str]) -> Row:
        return _row(where, values, rotations, images)

    return rows_of(_table(source, files["test"]), make)


class _Images:
    """The images of a table, each written once. Rows may name the row that holds their image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: dict[int, str] = {}
        self._written: dict[bytes, str] = {}

    def path(self, where: str, values: Mapping[str, str]) -> str:
        """Return the path of a row's image relative to the folder."""
        index, text = _index(where, values), values["image"].strip()
        if len(text) <= _LONGEST_INDEX and text.isdecimal():
            if int(text) not in self._paths:
                raise ManifestError(f"{where}: image is the index {text}, which no earlier row has")
            return self._paths[int(text)]
        digest = sha256(text.encode()).digest()
        if digest not in self._written:
            self._written[digest] = self._write(where, f"images/{index}", text)
        self._paths[index] = self._written[digest]
        return self._paths[index]

    def _write(self, where: str, name: str, text: str) -> str:
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ManifestError(f"{where}: image is not base64: {error}") from error
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "")
        if not suffix:
            raise ManifestError(f"{where}: image is none of JPEG, PNG, GIF and WebP")
        path = self.folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"{name}{suffix}"


def _table(source: Source, path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    return source.table(path, _COLUMNS, delimiter="\t", max_line=_MAX_LINE)


def _index(where: str, values: Mapping[str, str]) -> int:
    if not values["index"].isdecimal():
        raise ManifestError(f"{where}: index is {values['index']!r}, not a number")
    return int(values["index"])


def _row(where: str, values: Mapping[str, str], rotations: Mapping[int, int], images: _Images) -> Row:
    index = _index(where, values)
    path = images.path(where, values)
    options = {letter: text for letter in _LETTERS if (text := values.get(letter, "").strip())}
    if values["answer"] not in options:
        raise ManifestError(f"{where}: answer is {values['answer']!r}, not one of {', '.join(options)}")
    circle = index % _ROTATION
    if rotations[circle] != len(options):
        raise ManifestError(f"{where}: question {circle} has {rotations[circle]} of {len(options)} rotations")
    hint, question = values.get("hint", "").strip(), values["question"].strip()
    prompt = letter_prompt("\n".join(filter(None, (hint, question))), options)
    meta = {CATEGORY: values["category"], GROUP: str(circle), "rotation": index // _ROTATION, "choices": options}
    meta |= {"l2-category": values["l2-category"]} if values.get("l2-category") else {}
    content = (Media("image", Path(path)), prompt)
    return Row(str(index), "test", content, (values["answer"],), meta={**meta, QUESTION_ID: index})


MMBENCH = Suite(
    task=ReaderTask(
        modalities=frozenset({"image"}),
        type=QA,
        scorers={RULES: "mmbench"},
        description="multiple choice about images in every rotation of the options (MMBench)",
        counts={"test": Count(4_377, verified=False)},
        note="a rule finds the option that an answer names; the release asks ChatGPT where its own rule finds none",
        extracts=True,
        evaluation_only=True,
    ),
    locate=locate,
    rows=rows,
    marks=("mmbench_dev_*.tsv", "MMBench_DEV_*.tsv", "*/mmbench_dev_*.tsv", "*/MMBench_DEV_*.tsv"),
    citation="Liu et al., MMBench: Is Your Multi-modal Model an All-around Player?, arXiv 2307.06281",
    licence="Apache 2.0",
    origin="OpenCompass, MMBench dev",
)
