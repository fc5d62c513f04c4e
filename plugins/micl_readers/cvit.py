"""CVIT of SMoLoRA (Wang et al., ICCV 2025, arXiv 2411.13949): visual instruction tuning and answer shapes.

Layout (assumed, since the published one could not be checked): ``instructions/ScienceQA/train.json`` and
``test.json`` in the formats of LLaVA, also without ``instructions/``; images below ``datasets/`` in the layout of CoIN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import CAPTIONING, CHOICE, QA, RELEASE, STRICT, Fault, ReaderTask, Row, Source, SourceRows
from micl_readers import coin_questions
from micl_readers.coin import PARTS
from micl_readers.llava import Images, MakeQuestion, Places, question_row
from micl_readers.llava_suite import MAX_NEW_TOKENS, ImageSuite, Layout, below, caption_rows

MIF = "mif"
"""The scorer variant that checks the shape of answers (mean instruction following)."""
SEQUENCE = ("scienceqa", "textvqa", "flickr30k", "imagenet", "gqa", "vqav2")
UNSEEN = ("vizwiz", "textcaps", "ocr-vqa", "places365")
_CAPTIONS = {"flickr30k": "captions of photographs (Flickr30k)", "textcaps": "captions that read texts (TextCaps)"}
_SCENES = {RELEASE: "coin_imagenet_release", STRICT: "coin_imagenet_strict"}
_MORE_IMAGES = {
    "flickr30k": (("Flickr30k", "Flickr30k/train"), ("Flickr30k", "Flickr30k/val", "Flickr30k/test")),
    "textcaps": (("TextCaps", "TextCaps/train_images", "TextVQA/train_images"),) * 2,
    "places365": (("Places365", "Places365/train"), ("Places365", "Places365/val")),
}
_MORE_FOLDERS = {"flickr30k": ("Flickr30k",), "textcaps": ("TextCaps",), "places365": ("Places365", "Place365")}


def _task(name: str) -> ReaderTask:
    captions = name in _CAPTIONS
    scorers = {RELEASE: "cider", STRICT: "cider"} if captions else _SCENES
    description = _CAPTIONS.get(name, "classes of scenes (Places365)")
    if name in PARTS:
        scorers = {variant: PARTS[name].scorers[variant] for variant in (RELEASE, STRICT)}
        description = PARTS[name].description
    return ReaderTask(
        modalities=frozenset({"image"}),
        type=CAPTIONING if captions else QA,
        scorers={**scorers, MIF: "instruction_following"},
        description=description,
        max_new_tokens=MAX_NEW_TOKENS,
        note="published training sets of unseen tasks have 5 or 10 examples a class" if name in UNSEEN else "",
    )


class CVIT(ImageSuite):
    """CVIT: six tasks in sequence, and four unseen ones."""

    benchmark = "cvit"
    title = "CVIT (SMoLoRA)"
    marks = ("instructions/Places365", "Places365/train.json")
    licence = "those of its source data sets"
    citation = "Wang et al., SMoLoRA, ICCV 2025, arXiv 2411.13949"
    origin = "zackie29/SMoLoRA"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: _task(name) for name in (*SEQUENCE, *UNSEEN)}
    orders: ClassVar[Mapping[str, tuple[str, ...]]] = {"default": SEQUENCE, "unseen": UNSEEN}
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {
        name: PARTS[name].folders if name in PARTS else _MORE_FOLDERS[name] for name in tasks
    }
    images: ClassVar[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
        name: (PARTS[name].images, PARTS[name].test_images) if name in PARTS else _MORE_IMAGES[name] for name in tasks
    }

    def layout(self, task: str, source: Source) -> Layout:
        """Return the layout of a task; the files with answers of other data sets are optional."""
        files = {
            "train": self.instructions(task, "train.json"),
            "test": self.instructions(task, "test.json", "val.json"),
        }
        answers = {
            role: below(("datasets", "cl_dataset", ""), name)
            for role, name in coin_questions.ANSWERS.get(task, {}).items()
        }
        references = {"references": self.instructions(task, "val_coco_type_3000.json")} if task in _CAPTIONS else {}
        return Layout(files, *self.image_folders(task), optional={**answers, **references})

    def question(self, task: str, files: Mapping[str, Path], source: Source) -> MakeQuestion:
        """Return the function that builds the rows of a task's questions, with the required answer shape."""
        make = question_row if task in _CAPTIONS else coin_questions.question(task, files, source)

        def shaped(item: Mapping[str, Any], where: str, images: Images) -> Row:
            return _shaped(make(item, where, images), task)

        return shaped

    def questions(self, task: str, files: Mapping[str, Path], source: Source, places: Places) -> SourceRows:
        """Yield the questions; captions have their references in a file of their own, or as a list of answers."""
        if "references" not in files:
            yield from super().questions(task, files, source, places)
            return
        for found in caption_rows(source, files["test"], files["references"], places):
            yield found if isinstance(found, Fault) else found._replace(row=_shaped(found.row, task))


def _shaped(row: Row, task: str) -> Row:
    shape = CAPTIONING if task in _CAPTIONS else CHOICE if task == "scienceqa" else QA
    return replace(row, meta={**row.meta, "shape": shape})
