"""TriGap (SAME, arXiv 2602.01990): ten tasks on documents, charts, medicine, roads and floods.

Layout: ``instructions/PMCVQA/train_standard_4w.json`` and so on, images below ``datasets/``. Some training
files also exist with "_sub" in their names, for a sample that users draw themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from micl_cli.api import PUBLISHED, QA, RELEASE, STRICT, Count, ManifestError, ReaderTask, Source
from micl_readers.llava_suite import MAX_NEW_TOKENS, ImageSuite, Layout

SUB = "sub"
"""The prompt variant with sampled training files, whose names end in "_sub"."""


class _Files(NamedTuple):
    folder: str
    train: str
    test: str
    description: str
    has_sub: bool = True
    images: tuple[str, ...] = ()


_STANDARD = ("train_standard_4w", "test_standard_3k")
_FILES = {
    "pmcvqa": _Files("PMCVQA", *_STANDARD, "multiple choice about medical figures (PMC-VQA)", has_sub=False),
    "docvqa": _Files("DocVQA", "train_converted", "val_converted", "questions about documents (DocVQA)"),
    "chartqa": _Files("ChartQA", *_STANDARD, "questions about charts (ChartQA)"),
    "iconqa": _Files(
        *("IconQA", "train", "test_3000", "questions about diagrams (IconQA)"), images=("IconQA/iconqa_data/iconqa",)
    ),
    "infographicvqa": _Files(
        "InfographicVQA",
        *("infographicsVQA_train_converted", "infographicsVQA_val_converted", "questions about infographics"),
    ),
    "arxivqa": _Files(
        *("ArxivQA", "train_4w", "test_3000", "multiple choice about figures of papers"), images=("ArxivQA/images",)
    ),
    "roadside": _Files("Roadside", *_STANDARD, "questions about road scenes", has_sub=False),
    "chemvqa": _Files("ChemVQA", *_STANDARD, "questions about chemistry", has_sub=False),
    "floodnetvqa": _Files("FloodNetVQA", *_STANDARD, "questions about aerial pictures of floods (FloodNet)"),
    "clevr": _Files("CLEVR", "train_4w", "test_3000", "questions about rendered scenes", images=("CLEVR/images",)),
}
_BY_DISTANCE = frozenset({"docvqa", "infographicvqa"})


def _task(name: str, files: _Files) -> ReaderTask:
    by_distance = name in _BY_DISTANCE
    capped = {"train": Count(40_000, verified=False)} if "4w" in files.train else {}
    sampled = {"test": Count(3_000)} if files.test.startswith("test_") else {}
    return ReaderTask(
        modalities=frozenset({"image"}),
        type=QA,
        scorers={
            RELEASE: "anls_star" if by_distance else "exact_upper",
            STRICT: "anls" if by_distance else "accuracy",
        },
        prompts=(PUBLISHED, SUB),
        description=files.description,
        counts={**capped, **sampled},
        max_new_tokens=MAX_NEW_TOKENS,
        note="the published training set may be the file with or without _sub in its name" if files.has_sub else "",
    )


class TriGap(ImageSuite):
    """TriGap: ten tasks, two of them scored by edit distance."""

    benchmark = "trigap"
    title = "TriGap"
    marks = ("instructions/PMCVQA", "PMCVQA/train_standard_4w.json")
    licence = "those of its ten source data sets"
    citation = "SAME, arXiv 2602.01990"
    origin = "JuntaoTang/TriGap"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: _task(name, files) for name, files in _FILES.items()}
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {name: (files.folder,) for name, files in _FILES.items()}
    images: ClassVar[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
        name: ((files.folder, *files.images),) * 2 for name, files in _FILES.items()
    }

    def layout(self, task: str, source: Source) -> Layout:
        """Return the layout of a task; the variant "sub" has another training file."""
        files = _FILES[task]
        sub = "_sub" if source.prompts == SUB and files.has_sub else ""
        names = {"train": f"{files.train}{sub}.json", "test": f"{files.test}.json"}
        return Layout({role: self.instructions(task, name) for role, name in names.items()}, *self.image_folders(task))

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the annotation files of a task. Raises ManifestError if one is missing."""
        try:
            return super().locate(task, source)
        except ManifestError as error:
            full, sample = f"{_FILES[task].train}.json", f"{_FILES[task].train}_sub.json"
            if source.has_file(*self.instructions(task, full)) or not source.has_file(*self.instructions(task, sample)):
                raise
            hint = f"There is {sample}: to learn from it, add --prompts {SUB}."
            raise ManifestError(error.message, hint) from error
