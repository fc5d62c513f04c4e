"""CVIT of SMoLoRA (Wang et al., ICCV 2025, arXiv 2411.13949): visual instruction tuning and answer shapes.

Layout, by the scripts of the release: ``CVIT_benchmark/Instructions_Single/ScienceQA/train.json``, and ``test.json`` or
``val.json`` in the formats of LLaVA; images, and the answers of other sets, below ``dataset/``. The folders may also be
called ``instructions/`` and ``datasets/``, or be missing.
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
_CIDER_NOTE = (
    "the release compares an answer with its best reference only, by a module that it lacks: its figure is not CIDEr-D"
)
_UNSEEN_NOTE = "published training sets of unseen tasks have 5 or 10 examples a class"
_CLASSES = {RELEASE: "cvit_class_release", STRICT: "coin_imagenet_strict"}
_MORE_IMAGES = {
    "flickr30k": (("Flickr30k", "Flickr30k/train"), ("Flickr30k", "Flickr30k/val", "Flickr30k/test")),
    "textcaps": (("TextCaps", "TextCaps/train_images", "TextVQA/train_images"),) * 2,
    "places365": (("Places365", "Places365/train"), ("Places365", "Places365/val")),
}
_INSTRUCTIONS = ("Instructions_Single", "CVIT_benchmark/Instructions_Single", "instructions", "")
_DATASETS = ("dataset", "datasets", "")
_VALIDATED = frozenset({"textvqa", "flickr30k", "vqav2", "vizwiz", "textcaps", "places365"})
"""The tasks whose test is the validation file."""
_MORE_FOLDERS = {"flickr30k": ("Flickr30k",), "textcaps": ("TextCaps",), "places365": ("Places365", "Place365")}


def _task(name: str) -> ReaderTask:
    captions = name in _CAPTIONS
    scorers = {RELEASE: "cider", STRICT: "cider"} if captions else _CLASSES
    description = _CAPTIONS.get(name, "classes of scenes (Places365)")
    if name in PARTS:
        if name != "imagenet":
            scorers = {variant: PARTS[name].scorers[variant] for variant in (RELEASE, STRICT)}
        description = PARTS[name].description
    return ReaderTask(
        modalities=frozenset({"image"}),
        type=CAPTIONING if captions else QA,
        scorers={**scorers, MIF: "instruction_following"},
        description=description,
        max_new_tokens=MAX_NEW_TOKENS,
        note=_UNSEEN_NOTE if name in UNSEEN else _CIDER_NOTE if captions else "",
    )


class CVIT(ImageSuite):
    """CVIT: six tasks in sequence, and four unseen ones."""

    benchmark = "cvit"
    title = "CVIT (SMoLoRA)"
    marks = (
        *("Instructions_Single/Places365", "CVIT_benchmark/Instructions_Single"),
        *("instructions/Places365", "Places365/train.json"),
    )
    licence = "that of each of the sets it is made from"
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

    def instructions(self, task: str, *names: str) -> tuple[str, ...]:
        """Return where annotation files of a task may be."""
        return below(below(_INSTRUCTIONS, *self.folders[task]), *names)

    def image_folders(self, task: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the folders of images of training and of test examples."""
        train, test = self.images[task]
        return (*_DATASETS[:-1], *below(_DATASETS, *train)), (*_DATASETS[:-1], *below(_DATASETS, *test))

    def layout(self, task: str, source: Source) -> Layout:
        """Return where the files of a task are; those with the answers of other sets need not be there."""
        tests = ("val.json", "test.json") if task in _VALIDATED else ("test.json", "val.json")
        files = {"train": self.instructions(task, "train.json"), "test": self.instructions(task, *tests)}
        answers = {
            role: below((*_DATASETS[:-1], "cl_dataset", ""), name)
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
