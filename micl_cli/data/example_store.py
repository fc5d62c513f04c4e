"""Examples of a prepared task, parsed from its manifest on access.

Only the offsets of the manifest's lines are held in memory; the text is memory-mapped.
"""

from __future__ import annotations

import json
import mmap
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from micl_cli.api.task import SPLITS, Content, Example, Media, Row
from micl_cli.data.description import LINE_KEYS
from micl_cli.data.manifest import relative_path
from micl_cli.io.text import open_regular


class ManifestLines:
    """The lines of a canonical manifest, memory-mapped.

    They remain those of the opened file, even if the file is replaced. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starts = array("Q", [0])
        with open_regular(path) as file:
            self._text: mmap.mmap | bytes = b""
            if file.seek(0, 2):
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        end = -1
        while (end := self._text.find(b"\n", end + 1)) >= 0:
            self.starts.append(end + 1)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> str:
        """Return a line without its line break. Raises UnicodeDecodeError."""
        return self._text[self.starts[index] : self.starts[index + 1] - 1].decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    @property
    def complete(self) -> bool:
        """Whether the last line ends with a line break."""
        return self.starts[-1] == len(self._text)


class StoredExamples(Sequence[Example]):
    """The examples of one split of a prepared task, in the manifest's order."""

    def __init__(
        self,
        lines: ManifestLines,
        numbers: Sequence[int],
        task: str,
        root: Path,
        digests: Mapping[str, str],
    ) -> None:
        self.lines, self.numbers = lines, numbers
        self.task, self.root, self.digests = task, root, digests

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self._example(number) for number in self.numbers[index]]
        return self._example(self.numbers[index])

    def __iter__(self) -> Iterator[Example]:
        return (self._example(number) for number in self.numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _example(self, number: int) -> Example:
        row = stored_row(self.lines[number])
        content = tuple(item if isinstance(item, str) else self._medium(item) for item in row.content)
        return Example(row.id, content, row.references, row.choices, task=self.task, meta=row.meta)

    def _medium(self, medium: Media) -> Media:
        path = relative_path(medium)
        return Media(medium.modality, self.root / path, self.digests[path])


def numbers_by_split(splits: Sequence[str]) -> dict[str, array[int]]:
    """Return the line numbers of each split."""
    return {split: array("Q", (n for n, each in enumerate(splits) if each == split)) for split in SPLITS}


def stored_row(line: str) -> Row:
    """Return the row of a line that micl wrote, without checking it again. Raises ValueError, KeyError, TypeError."""
    fields: Mapping[str, Any] = json.loads(line)
    references, choices = tuple(fields["references"]), tuple(fields.get("choices", ()))
    return Row(fields["id"], fields["split"], _content(fields), references, choices, fields.get("meta", {}))


def _content(fields: Mapping[str, Any]) -> Content:
    if "content" in fields:
        return tuple(item if isinstance(item, str) else _medium(*item.items()) for item in fields["content"])
    media = [_medium(item) for item in fields.items() if item[0] not in LINE_KEYS]
    return (*media, fields["prompt"]) if fields["prompt"] else tuple(media)


def _medium(item: tuple[str, str]) -> Media:
    return Media(item[0], Path(item[1]))
