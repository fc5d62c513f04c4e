"""MICL (Pian et al., arXiv 2412.13050): captions of, and questions about, images, sounds and clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from micl_cli.api import ManifestError, Reader, ReaderTask, Source, SourceRows
from micl_readers.micl.audiocaps import AudioCaps
from micl_readers.micl.clotho_aqa import ClothoAQA
from micl_readers.micl.dataset import DataSet
from micl_readers.micl.flickr30k import Flickr30k
from micl_readers.micl.msr_vtt import MSRVTT
from micl_readers.micl.msvd_qa import MSVDQA
from micl_readers.micl.ok_vqa import OKVQA

DATA_SETS: Mapping[str, DataSet] = {
    "aud_cap": AudioCaps(),
    "img_cap": Flickr30k(),
    "vid_qa": MSVDQA(),
    "aud_qa": ClothoAQA(),
    "img_qa": OKVQA(),
    "vid_cap": MSRVTT(),
}
"""The data set of each task, in the paper's first order."""


class Micl(Reader):
    """MICL: captioning and question answering in three modalities, in two orders.

    The root is the folder of one data set, or one with the folders of all of them in the layout of the authors.
    """

    benchmark = "micl"
    title = "MICL"
    marks = (
        *("dataset_flickr30k.json", "results_20130124.token", "clotho_aqa_train.csv", "train_val_videodatainfo.json"),
        *("youtube_mapping.txt", "dataset/flickr30k", "dataset/AudioCaps", "dataset/MSRVTT"),
    )
    licence = "each of the six data sets has its own"
    citation = (
        "Pian et al., Modality-Inconsistent Continual Learning of Multimodal Large Language Models, arXiv 2412.13050"
    )
    origin = "the publishers of Flickr30k, OK-VQA, AudioCaps, Clotho-AQA, MSR-VTT and MSVD-QA"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: data_set.task for name, data_set in DATA_SETS.items()}
    orders: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "order-1": tuple(DATA_SETS),
        "order-2": ("img_cap", "vid_cap", "vid_qa", "img_qa", "aud_cap", "aud_qa"),
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the annotation files of a task's data set."""
        try:
            return DATA_SETS[task].locate(source)
        except ManifestError as error:
            hints = [error.hint, *self._others(task, source)]
            raise ManifestError(error.message, " ".join(filter(None, hints))) from error

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the examples of a task's data set."""
        return DATA_SETS[task].rows(files, source)

    def _others(self, task: str, source: Source) -> list[str]:
        """Return hints that name data sets of other tasks at the root."""
        found = {name: other for name, other in DATA_SETS.items() if name != task and other.is_in(source)}
        return [f"It looks like {other.title}, which is {self.benchmark}/{name}." for name, other in found.items()]
