"""MM-MergeBench (Zeng et al. 2025, RobustMerge): eight tasks to learn and merge, and four that stay unseen.

Layout, by the scripts of the release: ``instructions/ScienceQA/test.json`` (``val.json`` of some tasks), images below
``datasets/``. The names of training files, ``train.json`` (``train_brief.json`` of Flickr30k), are assumed: the release
has no script that names them. The unseen tasks are for evaluation only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from micl_cli.api import CAPTIONING, QA, RELEASE, STRICT, ReaderTask, Source, SourceRows
from micl_readers import coin_questions
from micl_readers.coin import PARTS
from micl_readers.llava import MakeQuestion, Places, question_row, under
from micl_readers.llava_suite import MAX_NEW_TOKENS, ImageSuite, Layout, below, caption_rows
from micl_readers.ucit import CAPTIONS, EXACT, UCIT, WITHOUT_METEOR

_METEOR = UCIT.tasks["flickr30k-cap"].note


class _Task(NamedTuple):
    folder: str
    test: str
    description: str
    release: str
    strict: str
    images: tuple[tuple[str, ...], tuple[str, ...]]
    references: str = ""
    train: tuple[str, ...] = ("train.json",)


def _as_in_coin(name: str, release: str = "") -> _Task:
    part = PARTS[name]
    folder, images = part.folders[-1], (part.images, part.test_images)
    release = release or part.scorers[RELEASE]
    return _Task(folder, part.test, part.description, release, part.scorers[STRICT], images)


def _captions(folder: str, test: str, description: str, *images: tuple[str, ...], references: str) -> _Task:
    return _Task(
        *(folder, test, description, CAPTIONS[RELEASE], CAPTIONS[STRICT], (images[0], images[-1]), references),
        ("train_brief.json", "train.json") if "brief" in test else ("train.json",),
    )


_EXACT = (EXACT[RELEASE], EXACT[STRICT])
_ICONQA = ("IconQA", "IconQA/iconqa_data/iconqa")
_VAL_REFERENCES = "val_coco_type.json"
SEEN = {
    "scienceqa": _as_in_coin("scienceqa", "coin_scienceqa_answer_is"),
    "vizwiz-cap": _captions(
        *("VizWiz-caption", "val.json", "captions of pictures by blind people (VizWiz)"),
        *(("VizWiz", "VizWiz/train"), ("VizWiz", "VizWiz/val")),
        references=_VAL_REFERENCES,
    ),
    "imagenet": _as_in_coin("imagenet", "cvit_class_release"),
    "vqav2": _as_in_coin("vqav2"),
    "rec": _as_in_coin("grounding"),
    "iconqa": _Task("IconQA", "val.json", "questions about diagrams (IconQA)", *_EXACT, (_ICONQA, _ICONQA)),
    "flickr30k": _captions(
        *("flickr30k-caption", "val_brief.json", "captions of photographs (Flickr30k)"),
        *(("Flickr30k", "Flickr30k/train"), ("Flickr30k", "Flickr30k/val")),
        references=_VAL_REFERENCES,
    ),
    "ocr-vqa": _as_in_coin("ocr-vqa"),
}
_COCO = ("COCO2014", "COCO2014/val2014", "COCO2014/train2014")
_RENDITIONS = ("ImageNet-R", "ImageNet-R/test")
UNSEEN = {
    "aokvqa": _Task("AOKVQA", "val.json", "questions that need knowledge (A-OKVQA)", *_EXACT, (_COCO, _COCO)),
    "imagenet-r": _Task(
        *("ImageNet-R", "test.json", "classes of renditions (ImageNet-R)", "cvit_class_release"),
        *("coin_imagenet_strict", (_RENDITIONS, _RENDITIONS)),
    ),
    "screen2words": _captions(
        *("Screen2words", "test.json", "captions of screens (Screen2Words)", ("Screen2words",)),
        references="test_coco_type.json",
    ),
    "tabmwp": _Task("TabMWP", "test.json", "word problems on tables (TabMWP)", *_EXACT, (("TabMWP",), ("TabMWP",))),
}
_TASKS = {**SEEN, **UNSEEN}


def _task(name: str, task: _Task) -> ReaderTask:
    without = CAPTIONS[WITHOUT_METEOR] if task.references else task.release
    return ReaderTask(
        modalities=frozenset({"image"}),
        type=CAPTIONING if task.references else QA,
        scorers={RELEASE: task.release, STRICT: task.strict, WITHOUT_METEOR: without},
        description=task.description,
        max_new_tokens=MAX_NEW_TOKENS,
        note=_METEOR if task.references else "",
        evaluation_only=name in UNSEEN,
    )


class MMMergeBench(ImageSuite):
    """MM-MergeBench: eight tasks in sequence, and four unseen ones, on which a run is only scored."""

    benchmark = "mm-mergebench"
    title = "MM-MergeBench"
    marks = ("instructions/flickr30k-caption", "instructions/TabMWP", "flickr30k-caption/val_brief.json")
    licence = "that of each of the sets it is made from"
    citation = (
        "Zeng et al., RobustMerge: Parameter-Efficient Model Merging for MLLMs with Direction Robustness, NeurIPS "
        "2025, arXiv 2502.17159"
    )
    origin = "AuroraZengfh/MM-MergeBench"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: _task(name, task) for name, task in _TASKS.items()}
    orders: ClassVar[Mapping[str, tuple[str, ...]]] = {"default": tuple(SEEN), "unseen": tuple(UNSEEN)}
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {name: (task.folder,) for name, task in _TASKS.items()}
    images: ClassVar[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
        name: task.images for name, task in _TASKS.items()
    }

    def layout(self, task: str, source: Source) -> Layout:
        """Return where the files of a task are; an unseen one has no training file."""
        spec = _TASKS[task]
        names = {"test": (spec.test,), "references": (spec.references,), "train": spec.train}
        absent = {"train" if task in UNSEEN else "", "" if spec.references else "references"}
        files = {role: self.instructions(task, *each) for role, each in names.items() if role not in absent}
        more = {"problems": below(("datasets", ""), "ScienceQA/problems.json")} if task == "scienceqa" else {}
        return Layout(files, *self.image_folders(task), optional=more)

    def question(self, task: str, files: Mapping[str, Path], source: Source) -> MakeQuestion:
        """Return what makes the rows of a task's questions."""
        known = {"scienceqa": "scienceqa", "rec": "grounding"}
        return coin_questions.question(known[task], files, source) if task in known else question_row

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the conversations of a seen task, then the questions."""
        if "train" in files:
            return super().rows(task, files, source)
        return self.questions(task, files, source, under(*self.image_folders(task)[1]))

    def questions(self, task: str, files: Mapping[str, Path], source: Source, places: Places) -> SourceRows:
        """Yield the questions; those for captions get their references by their number in the file."""
        if "references" in files:
            return caption_rows(source, files["test"], files["references"], places)
        return super().questions(task, files, source, places)
