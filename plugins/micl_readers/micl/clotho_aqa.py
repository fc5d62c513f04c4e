"""Clotho-AQA (Lipping et al. 2022): questions about sounds, each answered by three annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar

from micl_cli.api import QA, RELEASE, Fault, ReaderTask, Source, SourceRow, SourceRows
from micl_readers.micl.dataset import DataSet

COLUMNS = ("file_name", "QuestionText", "answer", "confidence")
ANNOTATORS = 3
QUESTIONS = 11_946
"""The published number of questions in all splits (35,838 rows)."""


class ClothoAQA(DataSet):
    """``audio_files/<file_name>`` beside ``clotho_aqa_train.csv``, ``..._val.csv`` and ``..._test.csv``.

    The rows of a question become one example. Its reference is the most frequent answer without regard to case, the
    first of equally frequent ones.
    """

    title = "Clotho-AQA"
    modality = "audio"
    folders = ("", "Clotho-AQA", "dataset/Clotho-AQA", "clotho_aqa")
    annotations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        split: (f"clotho_aqa_{split}.csv",) for split in ("train", "val", "test")
    }
    media = ("audio_files", "")
    task = ReaderTask(
        modalities=frozenset({"audio"}),
        type=QA,
        scorers={RELEASE: "accuracy"},
        description="questions about sounds (Clotho-AQA)",
        max_new_tokens=80,
        note="the three answers to a question become one, the most frequent (the first of equally frequent ones): the "
        "paper's rule is not published",
    )

    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield an example for each question."""
        questions = 0
        for item in chain.from_iterable(self._part(path, source, split) for split, path in files.items()):
            questions += isinstance(item, SourceRow)
            yield item
        if questions != QUESTIONS:
            source.notes.append(f"all splits: {questions:,} of {QUESTIONS:,} published questions")

    def _part(self, path: Path, source: Source, split: str) -> SourceRows:
        answers: dict[tuple[str, str], list[str]] = {}
        places: dict[tuple[str, str], str] = {}
        for where, values in source.table(path, COLUMNS):
            key, answer = (values["file_name"], values["QuestionText"].strip()), values["answer"].strip()
            if not answer or not all(key):
                yield Fault(where, key[0], "file_name, QuestionText or answer is empty")
                continue
            answers.setdefault(key, []).append(answer)
            places.setdefault(key, where)
        numbers: Counter[str] = Counter()
        find = self.media_finder(source)
        for key, given in answers.items():
            file, question = key
            numbers[file] += 1
            row = self.row(f"{file}#{numbers[file]}", split, find(file), question, [majority(given)])
            yield SourceRow(row, places[key])
        if other := sum(len(given) != ANNOTATORS for given in answers.values()):
            source.notes.append(f"{split}: {other:,} questions have another number of answers than {ANNOTATORS}")


def majority(answers: Sequence[str]) -> str:
    """Return the most frequent answer without regard to case, in its first spelling; the first of several."""
    counts = Counter(answer.casefold() for answer in answers)
    best = max(counts.values())
    return next(answer for answer in answers if counts[answer.casefold()] == best)
