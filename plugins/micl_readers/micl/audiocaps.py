"""AudioCaps (Kim et al. 2019): captions of sounds: one for each training clip, five for each other clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar

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
)
from micl_readers.micl.dataset import DataSet

PROMPT = "describe the audio."
COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
Line = tuple[str, Mapping[str, str]]
"""The location and the values of a table row."""


class AudioCaps(DataSet):
    """``<youtube_id>.wav``, ``Y<youtube_id>.wav`` or ``<audiocap_id>.wav``, already cut to the clip.

    ``start_time`` is the position of the clip in its source video, and is not used to cut anything.
    """

    title = "AudioCaps"
    modality = "audio"
    folders = ("", "AudioCaps", "dataset/AudioCaps", "audiocaps")
    annotations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        split: (f"{split}.csv",) for split in ("train", "val", "test")
    }
    media = ("all_audios", "audio/{split}", "audio", "{split}", "")
    references: ClassVar[Mapping[str, int]] = {"train": 1, "val": 5, "test": 5}
    task = ReaderTask(
        modalities=frozenset({"audio"}),
        type=CAPTIONING,
        scorers={RELEASE: "cider"},
        description="captions of sounds (AudioCaps)",
        instruction=PROMPT,
        counts={"train": Count(49_838), "val": Count(495), "test": Count(975)},
        max_new_tokens=80,
        note="published counts are those of the first release; fewer clips are available today",
    )

    def is_in(self, source: Source) -> bool:
        """Return whether the root holds the data set, by its columns: other data sets have tables of the same names."""
        if not super().is_in(source):
            return False
        try:
            next(source.table(self.locate(source)["train"], COLUMNS), None)
        except ManifestError:
            return False
        return True

    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each clip, with the captions of all its rows."""
        parts = (self._part(path, source, split) for split, path in files.items())
        return self.counted(chain.from_iterable(parts), source)

    def _part(self, path: Path, source: Source, split: str) -> SourceRows:
        clips: dict[str, list[Line]] = {}
        places: dict[str, str] = {}
        for where, values in source.table(path, COLUMNS):
            id, clip = values["audiocap_id"].strip(), values["youtube_id"].strip()
            if not id or not clip:
                yield Fault(where, id, "audiocap_id or youtube_id is empty")
            elif id in places:
                yield Fault(where, id, f"audiocap_id {id} is also in {places[id]}")
            else:
                places[id] = where
                clips.setdefault(clip, []).append((where, values))
        find = self.media_finder(source, split)
        for clip, lines in clips.items():
            where = lines[0][0]
            if fault := _fault(lines):
                yield Fault(where, clip, fault)
                continue
            ids = [values["audiocap_id"].strip() for _, values in lines]
            file = find(*(f"{name}.wav" for name in (clip, f"Y{clip}", *ids)))
            yield SourceRow(self.row(clip, split, file, PROMPT, [values["caption"] for _, values in lines]), where)


def _fault(lines: Sequence[Line]) -> str:
    """Return what is wrong with the rows of a clip, or an empty string."""
    starts = {values["start_time"].strip() for _, values in lines}
    if len(starts) > 1:
        return f"the rows of this clip have the start times {', '.join(sorted(starts))}"
    return next((f"the caption in {where} is empty" for where, values in lines if not values["caption"].strip()), "")
