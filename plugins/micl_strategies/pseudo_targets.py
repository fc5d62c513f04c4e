"""Files of pseudo targets: a question with a short answer for each caption, as published by MoInCL's authors.

Their files for AudioCaps, MSR-VTT and Flickr30k are JSON. Two shapes are read: an object with the pair of each caption,
``{"a caption": {"question": "…", "answer": "…"}}`` or ``{"a caption": ["…?", "…"]}``, and a list of ``{"caption": "…",
"question": "…", "answer": "…"}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from micl_cli.api import Example, PlanError, read_json

MAX_BYTES = 512 << 20
_EXPECTED = (
    'Expected {"CAPTION": {"question": "…", "answer": "…"}}, {"CAPTION": ["…", "…"]}, '
    'or a list of {"caption": "…", "question": "…", "answer": "…"}.'
)

Pair = tuple[str, str]
"""A question and its answer."""


class PseudoTargets:
    """The pairs of a file, or of all ``*.json`` in a folder, by caption without regard to case and white space.

    Of several pairs for one caption, the first counts; a pair with an empty question or answer counts as none. Raises
    PlanError if a file cannot be read or has another shape.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pairs: dict[str, Pair] = {}
        for file in _files(path):
            for caption, question, answer in _entries(file):
                if question and answer:
                    self._pairs.setdefault(_key(caption), (question, answer))

    def of(self, example: Example) -> list[Pair]:
        """Return the pairs of an example's captions, without repetitions."""
        found = (self._pairs.get(_key(caption)) for caption in example.references)
        return list(dict.fromkeys(pair for pair in found if pair))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if files := sorted(path.glob("*.json")):
        return files
    raise PlanError(f"{path} has no JSON files of pseudo targets", _EXPECTED)


def _key(caption: str) -> str:
    return " ".join(caption.split()).casefold()


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield caption, question and answer of each entry."""
    try:
        content = read_json(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PlanError(f"cannot read {path}: {reason}", _EXPECTED) from error
    for number, (caption, question, answer) in enumerate(_triples(content, path), 1):
        if not all(isinstance(text, str) for text in (caption, question, answer)):
            what = f"entry {number} is not a caption with a question and an answer, all texts"
            raise PlanError(f"{path}: {what}", _EXPECTED)
        yield caption, question.strip(), answer.strip()


def _triples(content: Any, path: Path) -> Iterable[tuple[Any, Any, Any]]:
    if isinstance(content, Mapping):
        return ((caption, *_pair(value)) for caption, value in content.items())
    if isinstance(content, list):
        return ((_value(item, "caption"), *_pair(item)) for item in content)
    raise PlanError(f"{path}: it is neither an object nor a list", _EXPECTED)


def _pair(value: Any) -> tuple[Any, Any]:
    """Return the question and the answer of an entry; None for what it does not have."""
    if isinstance(value, list) and len(value) == 2:
        return value[0], value[1]
    return _value(value, "question"), _value(value, "answer")


def _value(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, Mapping) else None
