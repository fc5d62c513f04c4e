"""Flickr30k (Young et al. 2014): images with five captions each.

``dataset_flickr30k.json`` has Karpathy's splits; ``results_20130124.token`` has none: images are then
assigned by a hash of their file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import (
    CAPTIONING,
    RELEASE,
    Count,
    Fault,
    ManifestError,
    ReaderTask,
    Row,
    Source,
    SourceRow,
    SourceRows,
    field_of,
    rows_of,
    text_field,
)
from micl_readers.micl.dataset import DataSet, FindMedium, in_split_order

PROMPT = "describe the image."
VAL, TEST = 1_014, 1_000
"""The sizes of Karpathy's splits, used for the token file too, limited to a tenth of the images."""


class Flickr30k(DataSet):
    """``flickr30k-images/<id>.jpg`` beside the captions."""

    title = "Flickr30k"
    modality = "image"
    folders = ("", "flickr30k", "dataset/flickr30k")
    annotations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "captions": ("dataset_flickr30k.json", "results_20130124.token")
    }
    media = ("flickr30k-images", "")
    references: ClassVar[Mapping[str, int]] = {"train": 5, "val": 5, "test": 5}
    task = ReaderTask(
        modalities=frozenset({"image"}),
        type=CAPTIONING,
        scorers={RELEASE: "cider"},
        description="captions of photographs (Flickr30k)",
        instruction=PROMPT,
        counts={"train": Count(29_000), "val": Count(VAL), "test": Count(TEST)},
        max_new_tokens=80,
    )

    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each image."""
        path, find = files["captions"], self.media_finder(source)
        rows = self._karpathy(source, path, find) if path.suffix == ".json" else self._tokens(source, path, find)
        return self.counted(in_split_order(rows), source)

    def _karpathy(self, source: Source, path: Path, find: FindMedium) -> SourceRows:
        def row(where: str, item: Any) -> Row:
            name, split = text_field(item, "filename", where), text_field(item, "split", where)
            if split not in ("train", "val", "test"):
                raise ManifestError(f"{where}: unknown split {split!r}", "Is this Flickr30k's file?")
            sentences = field_of(item, "sentences", where)
            if not isinstance(sentences, list):
                raise ManifestError(f"{where}: sentences is not a list")
            captions = [text_field(each, "raw", where) for each in sentences]
            return self.row(_stem(name), split, find(name), PROMPT, captions)

        return rows_of(source.json_items(path, "images"), row)

    def _tokens(self, source: Source, path: Path, find: FindMedium) -> SourceRows:
        captions: dict[str, list[str]] = {}
        places: dict[str, str] = {}
        for item in _token_lines(source, path):
            if isinstance(item, Fault):
                yield item
                continue
            where, name, caption = item
            captions.setdefault(name, []).append(caption)
            places.setdefault(name, where)
        splits = _split_by_hash(captions)
        source.notes.append(
            f"{path.name} has no splits: {TEST:,} images for test and {VAL:,} for validation are chosen by a hash of "
            f"their names; Karpathy's, which tables use, are in dataset_flickr30k.json"
        )
        for name, texts in captions.items():
            yield SourceRow(self.row(_stem(name), splits[name], find(name), PROMPT, texts), places[name])


def _token_lines(source: Source, path: Path) -> Iterator[tuple[str, str, str] | Fault]:
    """Yield the location, image and caption of each line ``<file>#<number><tab><caption>``, or a fault."""
    seen: dict[str, str] = {}
    for where, line in source.lines(path):
        key, tab, caption = line.partition("\t")
        name, mark, number = key.rpartition("#")
        if not (tab and name and mark and number.isdecimal()):
            yield Fault(where, key[:80], "it is not <file>#<number>, a tab and a caption")
        elif key in seen:
            yield Fault(where, key, f"{key} is also in {seen[key]}")
        else:
            seen[key] = where
            yield where, name, caption


def _split_by_hash(names: Mapping[str, Any]) -> dict[str, str]:
    """Return the split of each image, which depends on the names only."""
    ranked = sorted(names, key=lambda name: sha256(f"flickr30k\n{name}".encode()).digest())
    test, val = (min(size, len(ranked) // 10) for size in (TEST, VAL))
    return {name: "test" if i < test else "val" if i < test + val else "train" for i, name in enumerate(ranked)}


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
