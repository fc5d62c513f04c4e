"""CoIN (Chen et al. 2024, arXiv 2403.08350) and CoIN-ASD (Chen et al. 2025, SEFE): eight tasks of instruction tuning.

Layout of CoIN: ``Instructions_Original/ScienceQA/train.json`` and ``test.json`` (``val.json`` of VizWiz and VQAv2), and
likewise in ``Instructions_Type2``, the second set of instructions; images below ``cl_dataset/``. CoIN-ASD has
``annotations/ScienceQA/train_x20.json`` and so on, with the images of CoIN.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from micl_cli.api import QA, RELEASE, STRICT, Count, ManifestError, ReaderTask, Source
from micl_readers import coin_questions
from micl_readers.llava import MakeQuestion
from micl_readers.llava_suite import MAX_NEW_TOKENS, Layout, LlavaSuite, below

ORIGINAL, TYPE2 = "original", "type2"
"""The two sets of instructions."""
COIN, ANSWER_IS = "coin", "answer-is"
"""Scorer variants that differ from "release" only for ScienceQA: CoIN's rule, and "The answer is A." only."""
DATASET = ("cl_dataset", "")
_SETS = {ORIGINAL: ("Instructions_Original", "Instruction_Original")}
_SETS[TYPE2] = ("Instructions_Type2", "Instruction_Type2")


class Part(NamedTuple):
    """A task of CoIN: folder names, folders of images, scorers, and the published numbers of examples."""

    folders: tuple[str, ...]
    images: tuple[str, ...]
    test_images: tuple[str, ...]
    scorers: Mapping[str, str]
    description: str
    counts: tuple[int, int]
    test: str = "test.json"


_COCO = ("COCO2014", "COCO2014/train2014")
PARTS = {
    "scienceqa": Part(
        ("ScienceQA",),
        *(("ScienceQA", "ScienceQA/images", "ScienceQA/images/train"), ("ScienceQA", "ScienceQA/images")),
        {RELEASE: "coin_scienceqa_release", STRICT: "coin_scienceqa_strict"},
        "multiple choice from school science (ScienceQA), half of it without an image",
        (12_726, 4_241),
    ),
    "textvqa": Part(
        ("TextVQA",),
        *(("TextVQA", "TextVQA/train_images"), ("TextVQA", "TextVQA/train_images", "TextVQA/test_images")),
        {RELEASE: "coin_textvqa_release", STRICT: "vqa_accuracy"},
        "questions about texts in photographs (TextVQA)",
        (34_602, 5_000),
    ),
    "imagenet": Part(
        ("ImageNet",),
        *(("ImageNet_withlabel", "ImageNet_withlabel/train"), ("ImageNet_withlabel", "ImageNet_withlabel/val")),
        {RELEASE: "coin_imagenet_release", STRICT: "coin_imagenet_strict"},
        "100 classes of objects (ImageNet)",
        (117_715, 5_050),
    ),
    "gqa": Part(
        ("GQA",),
        *(("GQA", "GQA/images"), ("GQA", "GQA/images")),
        {RELEASE: "coin_gqa_release", STRICT: "accuracy"},
        "questions about relations of objects (GQA)",
        (72_140, 12_578),
    ),
    "vizwiz": Part(
        ("VizWiz",),
        *(("VizWiz", "VizWiz/train"), ("VizWiz", "VizWiz/val")),
        {RELEASE: "exact_upper", STRICT: "accuracy"},
        "questions of blind people about their pictures (VizWiz)",
        (20_523, 4_319),
        "val.json",
    ),
    "grounding": Part(
        ("Grounding",),
        *(_COCO, _COCO),
        {RELEASE: "coin_grounding_release", STRICT: "iou50"},
        "boxes of objects (RefCOCO, RefCOCO+, RefCOCOg)",
        (55_885, 30_969),
    ),
    "vqav2": Part(
        ("VQAv2",),
        *(_COCO, ("COCO2014", "COCO2014/val2014", "COCO2014/test2015")),
        {RELEASE: "exact_upper", STRICT: "accuracy"},
        "questions about photographs (VQA v2)",
        (82_783, 214_354),
        "val.json",
    ),
    "ocr-vqa": Part(
        ("OCR-VQA", "OCRVQA"),
        *(("OCR-VQA", "OCR-VQA/images"), ("OCR-VQA", "OCR-VQA/images")),
        {RELEASE: "coin_ocrvqa_release", STRICT: "accuracy"},
        "questions about book covers (OCR-VQA)",
        (165_348, 99_926),
    ),
}
_VERIFIED = frozenset({"scienceqa", "textvqa", "gqa", "vizwiz", "vqav2"})
"""The tasks whose test set is a published split of the original data set."""
_SPLITS = frozenset({"scienceqa", "textvqa"})
"""The tasks whose training set is one, too."""


def coin_task(name: str, prompts: tuple[str, ...], *, answer_is: bool = False) -> ReaderTask:
    """Return the task ``name`` of CoIN; with ``answer_is``, ScienceQA is scored as by SEFE by default."""
    part = PARTS[name]
    train, test = part.counts
    other = part.scorers[RELEASE] if name != "scienceqa" else "coin_scienceqa_answer_is"
    rules = {RELEASE: other, COIN: part.scorers[RELEASE]} if answer_is else {ANSWER_IS: other}
    return ReaderTask(
        modalities=frozenset({"image"}),
        type=QA,
        scorers={**part.scorers, **rules},
        prompts=prompts,
        description=part.description,
        counts={"train": Count(train, verified=name in _SPLITS), "test": Count(test, verified=name in _VERIFIED)},
        max_new_tokens=MAX_NEW_TOKENS,
        note=_NOTES.get(name, ""),
    )


_NOTES = {
    "imagenet": "the release counts an empty answer as right: --scorer strict does not",
    "grounding": "the release drops the first and the last character of a box: --scorer strict does not",
    "vqav2": "some tables use a part of the test set",
}


class CoIN(LlavaSuite):
    """CoIN: eight tasks with two sets of instructions."""

    benchmark = "coin"
    title = "CoIN"
    marks: ClassVar[tuple[str, ...]] = (
        "Instructions_Original",
        "Instruction_Original",
        "Instructions_Type2",
        "Instruction_Type2",
    )
    licence = "those of its source data sets"
    citation = "Chen et al., CoIN: A Benchmark of Continual Instruction tuNing for Multimodal LLMs, arXiv 2403.08350"
    origin = "Zacks-Chen/CoIN"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: coin_task(name, (ORIGINAL, TYPE2)) for name in PARTS}

    def instructions(self, task: str, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the possible paths of the training file and of the test file of a task."""
        part = PARTS[task]
        folders = below(_SETS.get(source.prompts, _SETS[ORIGINAL]), *part.folders)
        return below(folders, "train.json"), below(folders, part.test)

    def layout(self, task: str, source: Source) -> Layout:
        """Return the layout of a task, with the files of other data sets that hold its answers."""
        train, test = self.instructions(task, source)
        part = PARTS[task]
        more = {role: below(DATASET, name) for role, name in coin_questions.ANSWERS.get(task, {}).items()}
        optional = {role: more.pop(role) for role in coin_questions.OPTIONAL & set(more)}
        return Layout({"train": train, "test": test, **more}, _images(part.images), _images(part.test_images), optional)

    def question(self, task: str, files: Mapping[str, Path], source: Source) -> MakeQuestion:
        """Return the function that builds the rows of a task's questions."""
        return coin_questions.question(task, files, source)


def _images(folders: tuple[str, ...]) -> tuple[str, ...]:
    return ("cl_dataset", *below(DATASET, *folders))


_ASD = ("x20", "x10", "x30", "x40", "x50", ORIGINAL)


class CoINASD(CoIN):
    """CoIN-ASD: CoIN with a share of the training answers rewritten into other styles (style diversification)."""

    benchmark = "coin-asd"
    title = "CoIN-ASD"
    marks = ("annotations/*/train_x20.json",)
    citation = "Chen et al., SEFE: Superficial and Essential Forgetting Eliminator, ICML 2025, arXiv 2505.02486"
    origin = "jinpeng0528/CoIN-ASD"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {name: coin_task(name, _ASD, answer_is=True) for name in PARTS}

    def instructions(self, task: str, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the possible paths of the training file and of the test file of a task."""
        folders = below(("annotations",), *PARTS[task].folders)
        return _asd_files(task, _asd_variant(source)), below(folders, "test.json")

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the annotation files of a task. Raises ManifestError if one is missing."""
        try:
            return super().locate(task, source)
        except ManifestError as error:
            there = [each for each in _ASD if source.has_file(*_asd_files(task, each))]
            if not there or _asd_variant(source) in there:
                raise
            hint = f"There are training files for --prompts {', '.join(there)}."
            raise ManifestError(error.message, hint) from error


def _asd_variant(source: Source) -> str:
    return source.prompts if source.prompts in _ASD else _ASD[0]


def _asd_files(task: str, variant: str) -> tuple[str, ...]:
    name = "train.json" if variant == ORIGINAL else f"train_{variant}.json"
    return below(below(("annotations",), *PARTS[task].folders), name)
