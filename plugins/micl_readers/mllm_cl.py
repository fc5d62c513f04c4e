"""MLLM-CL (Zhao et al., arXiv 2506.05453): continual learning of domains.

Layout: ``RS/train.json``, ``RS/test.json``, ``RS/images/``; the same for Med, AD, Sci and Fin. The authors' results
spell Med "PathVQA" and AD "DriveLM"; folders with these names are read too. Other files, such as the
router's few-shot data and replay data, are not read.

The published evaluation adds a sentence to the questions of Med and Fin (prompt variant "published"); "file" leaves
them unchanged. The sentence for Fin depends on the right answer, and so reveals its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from micl_cli.api import (
    FILE,
    PUBLISHED,
    QA,
    RELEASE,
    STRICT,
    Count,
    ManifestError,
    Reader,
    ReaderTask,
    Row,
    Source,
    SourceRows,
)
from micl_readers.llava import Images, MakeQuestion, answers, conversation_rows, question_row, question_rows, under

CITATION = "Zhao et al., MLLM-CL: Continual Learning for Multimodal Large Language Models, arXiv 2506.05453"
LICENCE = "those of its source data sets"
ORIGIN = "MLLM-CL/MLLM-CL"

_FOLDERS = {"rs": ("RS",), "med": ("Med", "PathVQA"), "ad": ("AD", "DriveLM"), "sci": ("Sci",), "fin": ("Fin",)}
_SHORT = " Answer the question with a single word (or phrase)."
_YES_NO = " Only answer with yes or no directly."
_LETTER = " Answer with the given letter directly, e.g., A, B, C, D."
_BY_PREFIX = ("AI2D", "TQA", "VQA", "SciVerse")
_MAP = "MapQA"


def qa_task(description: str, train: int, test: int, **more: Any) -> ReaderTask:
    """Return a task of questions about images, with its published numbers of examples, which are unverified."""
    counts = {"train": Count(train, verified=False), "test": Count(test, verified=False)}
    variants = {"prompts": (PUBLISHED, FILE), "modalities": frozenset({"image"}), "type": QA}
    return ReaderTask(**{**variants, "description": description, "counts": counts, "max_new_tokens": 128, **more})


class Domain(Reader):
    """The domain sequence: remote sensing, medicine, driving, science, finance."""

    benchmark = "mllm-cl-domain"
    title = "MLLM-CL (domains)"
    marks = ("RS/train.json", "Med/train.json", "PathVQA/train.json", "DriveLM/train.json", "Fin/train.json")
    licence = LICENCE
    citation = CITATION
    origin = ORIGIN
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "rs": qa_task(
            "questions about satellite images (RSVQA)",
            60_000,
            10_000,
            scorers={RELEASE: "mllm_rs_release", STRICT: "mllm_word"},
        ),
        "med": qa_task(
            "questions about pathology images (PathVQA)",
            22_800,
            9_800,
            scorers={RELEASE: "mllm_med_release", STRICT: "mllm_word"},
            note=f'the published prompts end in "{_SHORT.strip()}"; without it: --prompts file',
        ),
        "ad": qa_task(
            "questions about six camera views of a drive (DriveLM)",
            60_000,
            10_000,
            scorers={RELEASE: "mllm_rs_release", STRICT: "mllm_word"},
        ),
        "sci": qa_task(
            "questions about diagrams and maps (AI2D, TQA, VQA, SciVerse, MapQA)",
            33_400,
            8_200,
            scorers={RELEASE: "mllm_sci_release", STRICT: "mllm_sci_strict"},
        ),
        "fin": qa_task(
            "questions about candlestick charts (StockQA)",
            60_000,
            10_000,
            scorers={RELEASE: "mllm_fin_release", STRICT: "mllm_fin_strict"},
            note="the end of the published prompts depends on the right answer (yes or no, or a letter), and so "
            "reveals its type; without it: --prompts file",
        ),
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return train.json and test.json of the task's folder."""
        names = _FOLDERS[task]
        folder = next((name for name in names if (source.root / name).is_dir()), names[0])
        return {split: source.find(f"{folder}/{split}.json") for split in ("train", "test")}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the conversations, then the questions."""
        places = under(*(path for name in _FOLDERS[task] for path in (name, f"{name}/images")))
        published = source.prompts == PUBLISHED
        makers: dict[str, MakeQuestion] = {"sci": _science_question}
        if published:
            makers |= {"med": partial(question_row, suffix=_SHORT), "fin": _finance_question}
        return chain(
            conversation_rows(source, files["train"], places),
            question_rows(source, files["test"], places, makers.get(task)),
        )


def _finance_question(item: Mapping[str, Any], where: str, images: Images) -> Row:
    truth = next(iter(answers(item, where)), "")
    return question_row(item, where, images, suffix=_YES_NO if truth in ("Yes", "No") else _LETTER)


def _science_question(item: Mapping[str, Any], where: str, images: Images) -> Row:
    """Return a question with the name of its image file, whose prefix selects the scoring rule."""
    if not images:
        raise ManifestError(f"{where}: the question has no image, and the rule of scoring depends on its file name")
    name = PurePosixPath(images[0]).name
    prefix = name.partition("_")[0]
    meta = {"file": name, "category": prefix if prefix in _BY_PREFIX else _MAP}
    return question_row(item, where, images, meta=meta)
