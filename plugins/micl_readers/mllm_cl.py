"""MLLM-CL (Zhao et al., arXiv 2506.05453): continual learning of domains.

Layout: ``RS/train.json``, ``RS/test.json``, ``RS/images/``; the same for Med, AD, Sci and Fin.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import ClassVar

from micl_cli.api import QA, RELEASE, Count, Reader, ReaderTask, Source, SourceRows
from micl_readers.llava import conversation_rows, question_rows, under

_FOLDERS = {"rs": "RS", "med": "Med", "ad": "AD", "sci": "Sci", "fin": "Fin"}


class Domain(Reader):
    """The domain sequence: remote sensing, medicine, driving, science, finance."""

    benchmark = "mllm-cl-domain"
    title = "MLLM-CL (domains)"
    marks = ("RS/train.json", "DriveLM", "AD/train.json")
    citation = "Zhao et al., MLLM-CL: Continual Learning for Multimodal Large Language Models, arXiv 2506.05453"
    origin = "MLLM-CL/MLLM-CL"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "rs": ReaderTask(
            modalities=frozenset({"image"}),
            type=QA,
            scorers={RELEASE: "accuracy"},
            description="questions about satellite images (RSVQA)",
            counts={"train": Count(60_000, verified=False), "test": Count(10_000, verified=False)},
            max_new_tokens=128,
        ),
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return train.json and test.json of the task's folder."""
        folder = _FOLDERS[task]
        return {split: source.find(f"{folder}/{split}.json") for split in ("train", "test")}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the conversations, then the questions."""
        places = under(_FOLDERS[task], f"{_FOLDERS[task]}/images")
        return chain(conversation_rows(source, files["train"], places), question_rows(source, files["test"], places))
