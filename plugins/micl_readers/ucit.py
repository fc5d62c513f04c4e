"""UCIT (Guo et al. 2025, HiDe-LLaVA): continual instruction tuning on tasks that the backbone has not seen.

Layout: ``instructions/ImageNet-R/train.json`` and ``test_3000.json``, images below ``datasets/ImageNet-R/``; likewise
for the other tasks. The two captioning tasks have their references in ``val_coco_type_3000.json``. A later release has
``ImageNet-R/train.json`` and so on beside ``datasets/``, in folders that name the tasks, such as ``VizWiz-caption/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from micl_cli.api import CAPTIONING, QA, RELEASE, STRICT, Count, ReaderTask, Source, SourceRows
from micl_readers.llava import Places
from micl_readers.llava_suite import MAX_NEW_TOKENS, ImageSuite, Layout, caption_rows

WITHOUT_METEOR = "without-meteor"
"""The scorer variant that needs no Java: the published mean of captioning metrics without METEOR."""
EXACT = {RELEASE: "exact_upper", STRICT: "accuracy", WITHOUT_METEOR: "exact_upper"}
CAPTIONS = {RELEASE: "caption_mean7", STRICT: "cider", WITHOUT_METEOR: "caption_mean6"}
_TRAIN = {
    "imagenet-r": "train.json",
    "arxivqa": "train_4w.json",
    "vizwiz-cap": "train.json",
    "iconqa": "train.json",
    "clevr-math": "train_4w.json",
    "flickr30k-cap": "train_brief_4w.json",
}
_REFERENCES = "val_coco_type_3000.json"


def _task(description: str, train: int, *, recalled: bool = False, captions: bool = False) -> ReaderTask:
    note = "the published figure is the mean of BLEU-1 to 4, METEOR, ROUGE-L and CIDEr-D, and METEOR needs Java"
    return ReaderTask(
        modalities=frozenset({"image"}),
        type=CAPTIONING if captions else QA,
        scorers=CAPTIONS if captions else EXACT,
        description=description,
        counts={"train": Count(train, verified=False), "test": Count(3_000, verified=not recalled)},
        max_new_tokens=MAX_NEW_TOKENS,
        note=f"{note}: --scorer {WITHOUT_METEOR} does without" if captions else "",
    )


class UCIT(ImageSuite):
    """UCIT: six tasks, of which two are captioning."""

    benchmark = "ucit"
    title = "UCIT"
    marks = ("instructions/ImageNet-R/test_3000.json", "ImageNet-R/test_3000.json")
    licence = "those of its six source data sets"
    citation = (
        "Guo et al., HiDe-LLaVA: Hierarchical Decoupling for Continual Instruction Tuning of Multimodal Large Language "
        "Model, ACL 2025"
    )
    origin = "HaiyangGuo/UCIT, MLLM-CL/UCIT"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "imagenet-r": _task("classes of renditions (ImageNet-R)", 23_998, recalled=True),
        "arxivqa": _task("multiple choice about figures of papers (ArxivQA)", 40_000),
        "vizwiz-cap": _task("captions of pictures by blind people (VizWiz)", 40_000, recalled=True, captions=True),
        "iconqa": _task("questions about diagrams (IconQA)", 29_859, recalled=True),
        "clevr-math": _task("sums about rendered scenes (CLEVR-Math)", 40_000),
        "flickr30k-cap": _task("captions of photographs (Flickr30k)", 40_000, captions=True),
    }
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "imagenet-r": ("ImageNet-R",),
        "arxivqa": ("ArxivQA",),
        "vizwiz-cap": ("VizWiz", "VizWiz-caption"),
        "iconqa": ("IconQA",),
        "clevr-math": ("CLEVR", "CLEVR-Math"),
        "flickr30k-cap": ("Flickr30k", "Flickr30k-cap"),
    }
    images: ClassVar[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
        "imagenet-r": (("ImageNet-R", "ImageNet-R/train"), ("ImageNet-R", "ImageNet-R/test")),
        "arxivqa": (("ArxivQA", "ArxivQA/images"), ("ArxivQA", "ArxivQA/images")),
        "vizwiz-cap": (("VizWiz", "VizWiz/train"), ("VizWiz", "VizWiz/val", "VizWiz/test")),
        "iconqa": (("IconQA", "IconQA/iconqa_data/iconqa"), ("IconQA", "IconQA/iconqa_data/iconqa")),
        "clevr-math": (
            ("CLEVR", "CLEVR/images", "CLEVR/images/train"),
            ("CLEVR", "CLEVR/images", "CLEVR/images/test", "CLEVR/images/val"),
        ),
        "flickr30k-cap": (("Flickr30k", "Flickr30k/train"), ("Flickr30k", "Flickr30k/val")),
    }

    def layout(self, task: str, source: Source) -> Layout:
        """Return the layout of a task, with the references of captions."""
        names = {"train": _TRAIN[task], "test": "test_3000.json"}
        if self.tasks[task].type == CAPTIONING:
            names["references"] = _REFERENCES
        files = {role: self.instructions(task, name) for role, name in names.items()}
        return Layout(files, *self.image_folders(task))

    def questions(self, task: str, files: Mapping[str, Path], source: Source, places: Places) -> SourceRows:
        """Yield the questions; those for captions get their references by their number in the file."""
        if "references" in files:
            return caption_rows(source, files["test"], files["references"], places)
        return super().questions(task, files, source, places)
