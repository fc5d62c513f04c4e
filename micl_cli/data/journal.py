"""The journal of an inspection, from which an interrupted preparation is resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from micl_cli.data.record import FileRecord
from micl_cli.io.json_text import json_text
from micl_cli.io.text import TextError, read_lines

FLUSH_SECONDS = 1.0
Note = Callable[[str, str, FileRecord], None]
"""Writes the record of a medium, given its modality and path."""


def read_journal(path: Path, root: Path) -> dict[tuple[str, str], FileRecord] | None:
    """Return the records that an interrupted inspection of media below ``root`` wrote, by modality and path.

    Lines that are incomplete or damaged are ignored. None is returned if there is no journal for this root.
    """
    records: dict[tuple[str, str], FileRecord] = {}
    try:
        lines = (text for _, text in read_lines(path))
        if next(lines, "") != _line(str(root)):
            return None
        for line in lines:
            digest, _, text = line.partition(" ")
            if digest == _digest(text):
                modality, name, fields = json.loads(text)
                records[modality, name] = FileRecord(**fields)
    except OSError:
        return None
    except TextError:
        return records
    return records


@contextmanager
def journal(path: Path, root: Path, *, append: bool) -> Iterator[Note]:
    """Yield a function that appends records to a journal. The journal is deleted unless the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if append else "w", encoding="utf-8", newline="\n") as file:
        if not append:
            file.write(_line(str(root)) + "\n")
        written = time.monotonic()

        def note(modality: str, name: str, record: FileRecord) -> None:
            nonlocal written
            file.write(_line([modality, name, asdict(record)]) + "\n")
            if time.monotonic() - written > FLUSH_SECONDS:
                file.flush()
                written = time.monotonic()

        yield note
    with suppress(OSError):
        path.unlink()


def _line(value: object) -> str:
    text = json_text(value)
    return f"{_digest(text)} {text}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
