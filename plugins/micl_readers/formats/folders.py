"""Folders of media, in the layout of the datasets library: one folder per class, or a metadata table beside the media.

``train/cat/1.png`` is an example of the class "cat" in the split "train"; without folders of splits, a class is a
folder of the root. With ``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet``, whose ``file_name`` is relative
to it, its columns describe the media instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import Fault, Format, Item, Items, ManifestError, Match, Source
from micl_readers.formats.parquet import parquet_rows

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"})


class _Folder(Format):
    """A folder of media of one modality."""

    modality: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match folders whose first medium is of the modality."""
        if not path.is_dir():
            return Match.NONE
        endings = tuple(ending for each in (ImageFolder, AudioFolder, VideoFolder) for ending in each.endings)
        first = next((file for file in _walk(path) if file.suffix.lower() in endings), None)
        return Match.CONTENT if first and first.suffix.lower() in cls.endings else Match.NONE

    def files(self, path: Path) -> Mapping[str, Path]:
        """Return the tables of metadata."""
        found = (file for file in _walk(path) if file.name in METADATA)
        return {file.relative_to(path).as_posix(): file for file in found}

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each row of metadata, and a fault for media without one; or an item for each medium."""
        if not (tables := list(self.files(path).values())):
            yield from self._classes(path, source)
            return
        named: set[str] = set()
        for table in tables:
            for item in self._described(table, path, source):
                named.update(_names(item.values))
                yield item
        folders = tuple(table.parent for table in tables)
        for file in self._media(path):
            name = file.relative_to(path).as_posix()
            if name not in named and any(file.is_relative_to(folder) for folder in folders):
                yield Fault(name, name, "no row of metadata names this file")

    def _classes(self, path: Path, source: Source) -> Iterator[Item]:
        for file in self._media(path):
            name = file.relative_to(path)
            split = name.parts[0] if name.parts[0].lower() in _SPLITS and len(name.parts) > 1 else ""
            if len(name.parts) < (3 if split else 2):
                hint = (
                    "Put each medium into the folder of its class, or add metadata.csv with file_name and its columns."
                )
                raise ManifestError(f"{file}: no folder names its class, and there is no metadata", hint)
            yield Item(name.as_posix(), {self.modality: name.as_posix(), "label": name.parent.name}, split)

    def _described(self, table: Path, path: Path, source: Source) -> Iterator[Item]:
        folder = table.parent.relative_to(path)
        split = next((part for part in folder.parts[:1] if part.lower() in _SPLITS), "")
        for where, values in _rows(table, source):
            if not (columns := [name for name in values if _is_file_column(name)]):
                raise ManifestError(f"{where}: no column 'file_name'; it has {', '.join(values)}", "Add it.")
            placed = dict(values)
            for column in columns:
                role = self.modality if column == "file_name" else column
                placed[role] = _placed(placed.pop(column), folder)
            yield Item(where, placed, split)

    def _media(self, path: Path) -> Iterator[Path]:
        return (file for file in _walk(path) if file.suffix.lower() in self.endings)


class ImageFolder(_Folder):
    """A folder of images: one folder per class, or metadata.csv, .jsonl or .parquet."""

    name = "imagefolder"
    modality = "image"
    endings = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".ppm")


class AudioFolder(_Folder):
    """A folder of sounds: one folder per class, or metadata.csv, .jsonl or .parquet."""

    name = "audiofolder"
    modality = "audio"
    endings = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aif", ".aiff")


class VideoFolder(_Folder):
    """A folder of clips: one folder per class, or metadata.csv, .jsonl or .parquet."""

    name = "videofolder"
    modality = "video"
    endings = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted, without hidden ones. Links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _rows(table: Path, source: Source) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if table.suffix == ".csv":
        return source.table(table)
    return source.json_lines(table) if table.suffix == ".jsonl" else parquet_rows(table, source)


def _is_file_column(name: str) -> bool:
    return name in ("file_name", "file_names") or name.endswith(("_file_name", "_file_names"))


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_placed(each, folder) for each in value]
    return (folder / value).as_posix() if isinstance(value, str) and value and not Path(value).is_absolute() else value


def _names(values: Mapping[str, Any]) -> Iterator[str]:
    for value in values.values():
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))
