"""MSVD-QA (Xu et al. 2017): questions about the clips of MSVD, with answers of one word."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import (
    QA,
    RELEASE,
    Count,
    ManifestError,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    rows_of,
    text_field,
)
from micl_readers.micl.dataset import DataSet


class MSVDQA(DataSet):
    """``<name>.avi``; questions refer to videos by number, and ``youtube_mapping.txt`` maps numbers to names."""

    title = "MSVD-QA"
    modality = "video"
    folders = ("", "MSVD-QA", "MSVD/MSVD-QA", "dataset/MSVD-QA", "dataset/MSVD/MSVD-QA")
    annotations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **{split: (f"{split}_qa.json",) for split in ("train", "val", "test")},
        "mapping": ("youtube_mapping.txt",),
    }
    media = ("video", "videos", "YouTubeClips", "")
    task = ReaderTask(
        modalities=frozenset({"video"}),
        type=QA,
        scorers={RELEASE: "accuracy"},
        description="questions about clips (MSVD-QA)",
        counts={"train": Count(30_933), "val": Count(6_415), "test": Count(13_157)},
        max_new_tokens=80,
    )

    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each question."""
        names = _mapping(source, files["mapping"])
        find = self.media_finder(source)

        def part(split: str) -> SourceRows:
            def row(where: str, item: Any) -> Row:
                id, video, question, answer = (
                    text_field(item, key, where) for key in ("id", "video_id", "question", "answer")
                )
                if (number := video.removeprefix("vid")) not in names:
                    raise ManifestError(f"{where}: {files['mapping'].name} has no line for video {video}")
                return self.row(id, split, find(f"{names[number]}.avi"), question, [answer])

            return rows_of(source.json_items(files[split]), row)

        return chain.from_iterable(part(split) for split in files if split != "mapping")


def _mapping(source: Source, path: Path) -> dict[str, str]:
    """Return the name of each video by its number. Raises ManifestError for a malformed or repeated line."""
    names: dict[str, str] = {}
    for where, line in source.lines(path):
        name, _, video = " ".join(line.split()).rpartition(" ")
        number = video.removeprefix("vid")
        if not name or number == video or not number.isdecimal():
            raise ManifestError(f"{where}: it is not '<name> vid<number>'", "Is this the file that was published?")
        if number in names:
            raise ManifestError(f"{where}: {video} is mapped twice", "Download the file again, or repair it.")
        names[number] = name
    return names
