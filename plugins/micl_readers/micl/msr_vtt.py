"""MSR-VTT (Xu et al. 2016): clips with twenty captions each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import ClassVar, NamedTuple

from micl_cli.api import (
    CAPTIONING,
    RELEASE,
    Count,
    Fault,
    ManifestError,
    ReaderTask,
    Source,
    SourceRow,
    SourceRows,
    text_field,
)
from micl_readers.micl.dataset import DataSet, in_split_order

PROMPT = "describe the video."
SPLITS = {"train": {"train": "train", "validate": "val", "val": "val"}, "test": {"test": "test"}}
"""The splits by their names in each file."""


class _Video(NamedTuple):
    where: str
    split: str
    captions: list[str]


class MSRVTT(DataSet):
    """``<video_id>.mp4`` in one folder, or in ``TrainValVideo`` and ``TestVideo``.

    "start time" and "end time" are the position of the clip in its source video; the files are already cut.
    """

    title = "MSR-VTT"
    modality = "video"
    folders = ("", "MSRVTT", "MSR-VTT", "dataset/MSRVTT")
    annotations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": ("train_val_videodatainfo.json",),
        "test": ("test_videodatainfo.json",),
    }
    media = ("videos/all", "TrainValVideo", "TestVideo", "videos", "")
    references: ClassVar[Mapping[str, int]] = {"train": 20, "val": 20, "test": 20}
    task = ReaderTask(
        modalities=frozenset({"video"}),
        type=CAPTIONING,
        scorers={RELEASE: "cider"},
        description="captions of clips (MSR-VTT)",
        instruction=PROMPT,
        counts={"train": Count(6_513), "val": Count(497), "test": Count(2_990)},
        max_new_tokens=80,
    )

    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each clip."""
        parts = (self._part(path, source, role) for role, path in files.items())
        return self.counted(in_split_order(chain.from_iterable(parts)), source)

    def _part(self, path: Path, source: Source, role: str) -> SourceRows:
        find, videos = self.media_finder(source), dict[str, _Video]()
        yield from _read_videos(path, source, role, videos)
        yield from _read_captions(path, source, videos)
        for id, video in videos.items():
            if video.captions:
                row = self.row(id, video.split, find(f"{id}.mp4"), PROMPT, video.captions)
                yield SourceRow(row, video.where)
            else:
                yield Fault(video.where, id, "the video has no sentence")


def _read_videos(path: Path, source: Source, role: str, videos: dict[str, _Video]) -> Iterator[Fault]:
    """Add the videos of a file to ``videos``, and yield the faulty ones."""
    for where, item in source.json_items(path, "videos"):
        try:
            id, split = text_field(item, "video_id", where), text_field(item, "split", where)
        except ManifestError as error:
            yield Fault(where, "", error.message.removeprefix(f"{where}: "))
            continue
        if split not in SPLITS[role]:
            yield Fault(where, id, f"split {split!r} is not one of {', '.join(SPLITS[role])}")
        elif id in videos:
            yield Fault(where, id, f"video_id {id} is also in {videos[id].where}")
        else:
            videos[id] = _Video(where, SPLITS[role][split], [])


def _read_captions(path: Path, source: Source, videos: Mapping[str, _Video]) -> Iterator[Fault]:
    """Add the sentences of a file to their videos, and yield the faulty ones."""
    seen: dict[str, str] = {}
    for where, item in source.json_items(path, "sentences"):
        try:
            names = ("video_id", "sen_id", "caption")
            video, sentence, caption = (text_field(item, name, where) for name in names)
        except ManifestError as error:
            yield Fault(where, "", error.message.removeprefix(f"{where}: "))
            continue
        if video not in videos:
            yield Fault(where, video, f"the file has no video {video!r} for sentence {sentence}")
        elif sentence in seen:
            yield Fault(where, video, f"sen_id {sentence} is also in {seen[sentence]}")
        else:
            seen[sentence] = where
            videos[video].captions.append(caption)
