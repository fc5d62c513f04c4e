"""Continual-NExT and Continual-News (ECNU-SII): fifteen tasks with and without images, and news by year.

Layout (assumed, since the published one could not be checked): ``ArXivQA/train.json`` and ``test.json``, or
``ArXivQA_train.json`` and ``ArXivQA_test.json``, in one of the formats of :mod:`micl_readers.chat_formats`; each may be
a JSON list or in JSON Lines (.jsonl). Images have paths relative to the media root, to the task's folder, or to its
folder ``images``. News may also have the names in the scripts of the release: ``2022.json`` and ``2022-test.json``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api import (
    QA,
    RELEASE,
    STRICT,
    Content,
    Fault,
    ManifestError,
    Reader,
    ReaderTask,
    Row,
    Source,
    SourceRow,
    SourceRows,
    json_values,
    text_field,
)
from micl_readers.chat_formats import chat_turns
from micl_readers.llava import Places, clean_path, under
from micl_readers.llava_suite import below

SHORT = "short"
"""The scorer variant that scores long answers like short ones, without a sentence model."""
_SENTENCES = "long answers are compared by a sentence model, which must be on this machine"


def _task(description: str, *, text_only: bool = False, long: bool = False, rule: str = "continual_next") -> ReaderTask:
    return ReaderTask(
        modalities=frozenset() if text_only else frozenset({"image"}),
        type=QA,
        scorers={
            RELEASE: rule if long else "continual_next_short",
            STRICT: "f1" if long else "accuracy",
            SHORT: "continual_next_short",
        },
        description=description,
        note=f"{_SENTENCES}: --scorer {SHORT} does without" if long else "",
    )


class _ChatSuite(Reader):
    """A suite whose tasks are two files of chat data each."""

    folders: ClassVar[Mapping[str, tuple[str, ...]]]
    """The possible names of a task's folder or files, by task."""
    licence = "those of its source data sets"
    citation = "Continual-NExT, a toolkit for the continual learning of multimodal language models, ECNU-SII"

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the files of training and of test examples of a task. Raises ManifestError if one is missing."""
        return {split: source.find(*self._names(task, split)) for split in ("train", "test")}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each turn of each item, training examples first."""
        folders = [folder for name in self.folders[task] for folder in (name, f"{name}/images")]
        places = under(*folders)
        return chain(*(_rows(source, files[split], split, places) for split in ("train", "test")))

    def _names(self, task: str, split: str) -> Iterator[str]:
        for folder in self.folders[task]:
            for suffix in ("json", "jsonl"):
                yield f"{folder}/{split}.{suffix}"
                yield f"{folder}_{split}.{suffix}"


def _rows(source: Source, path: Path, split: str, places: Places) -> SourceRows:
    counts: Counter[str] = Counter()
    for number, (where, item) in enumerate(json_values(path, source), 1):
        try:
            turns = chat_turns(item, where, lambda _, name: source.first_medium(places(clean_path(name))))
            name = _name(item, number, where)
        except ManifestError as error:
            yield Fault(where, "", error.message.removeprefix(f"{where}: "))
            continue
        counts[name] += 1
        repeated = f"#{counts[name]}" if split == "train" and counts[name] > 1 else ""
        for turn, (content, reply) in enumerate(turns, 1):
            yield SourceRow(_row(f"{name}{repeated}" + (f"/{turn}" if turn > 1 else ""), split, content, reply), where)


def _row(name: str, split: str, content: Content, reply: str) -> Row:
    return Row(name if split == "test" else f"{split}-{name}", split, content, (reply,))


def _name(item: Mapping[str, Any], number: int, where: str) -> str:
    """Return the id of an item, or its number in the file."""
    key = next((key for key in ("question_id", "id") if item.get(key) is not None), None)
    return text_field(item, key, where) if key else str(number)


class ContinualNExT(_ChatSuite):
    """Continual-NExT: fifteen tasks, three of them of text alone."""

    benchmark = "continual-next"
    title = "Continual-NExT"
    marks = ("GeoChat", "GeoVQA", "CodeQA", "CodeQA_train.json*")
    origin = "ECNU-SII/Continual-NexT"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "arxivqa": _task("multiple choice about figures of papers (ArxivQA)"),
        "geochat": _task("questions about satellite images (GeoChat)"),
        "iconqa": _task("questions about diagrams (IconQA)"),
        "clevrmath": _task("sums about rendered scenes (CLEVR-Math)"),
        "codeqa": _task("questions about code, text only (CodeQA)", text_only=True, long=True),
        "imagenet": _task("classes of objects (ImageNet)"),
        "flickr30k": _task("captions of photographs (Flickr30k)", long=True),
        "docvqa": _task("questions about documents (DocVQA)"),
        "textvqa": _task("questions about texts in photographs (TextVQA)"),
        "mathqa": _task("word problems, text only (MathQA)", text_only=True),
        "chartqa": _task("questions about charts (ChartQA)"),
        "pathvqa": _task("questions about pathology images (PathVQA)"),
        "grounding": _task("objects and their boxes (RefCOCO)"),
        "scienceqa": _task("multiple choice from school science (ScienceQA)"),
        "wikiqa": _task("questions about encyclopedia articles, text only (WikiQA)", text_only=True, long=True),
    }
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "arxivqa": ("ArXivQA", "ArxivQA"),
        "geochat": ("GeoChat", "GeoVQA"),
        "iconqa": ("IconQA",),
        "clevrmath": ("ClevrMath", "CLEVR-Math"),
        "codeqa": ("CodeQA",),
        "imagenet": ("ImageNet",),
        "flickr30k": ("Flickr30k",),
        "docvqa": ("DocVQA",),
        "textvqa": ("TextVQA",),
        "mathqa": ("MathQA",),
        "chartqa": ("ChartQA",),
        "pathvqa": ("PathVQA",),
        "grounding": ("Grounding", "RefCOCO"),
        "scienceqa": ("ScienceQA",),
        "wikiqa": ("WikiQA",),
    }


class ContinualNews(_ChatSuite):
    """Continual-News: questions about the news of four years, text only, all scored by the cosine of embeddings.

    A later question of a conversation is asked after the right replies to those before it, where the release asks it
    after the model's own.
    """

    benchmark = "continual-news"
    title = "Continual-News"
    marks = ("2022/train.json*", "2022_train.json*", "2022-test.json", "*/test_data/2022-test.json")
    origin = "ECNU-SII/Continual-News"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        year: _task(
            f"questions about the news of {year}, text only; {pairs} in all",
            text_only=True,
            long=True,
            rule="sentence_cosine",
        )
        for year, pairs in {"2022": "1,408", "2023": "1,246", "2024": "1,073", "2025": "220"}.items()
    }
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {year: (year, f"news_{year}") for year in tasks}

    def _names(self, task: str, split: str) -> Iterator[str]:
        yield from super()._names(task, split)
        if split == "train":
            yield from (f"{task}.json", f"datasets/{task}.json")
        else:
            yield from below(("", "test_data", "datasets/test_data"), f"{task}-{split}.json")
