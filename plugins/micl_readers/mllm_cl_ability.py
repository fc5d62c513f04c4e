"""MLLM-CL (Zhao et al., arXiv 2506.05453): continual learning of abilities, tested on data of other sources.

Layout: ``OCR/train_without_dense_caption.json``, ``Math/train.json``, ``VP/train.json``, ``APP/train.json``, each
beside its ``images/``; ``OCR_test/test.json`` with ``OCR_test/images/``, and the same for the others.

In the release, GPT extracts the answers of Math, and a server scores APP. Here, rules score both (scorer "rules", a
deviation), and prediction files can be exported for MathVista's scripts and for the server of MMT-Bench.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, takewhile
from pathlib import Path
from string import ascii_uppercase
from typing import Any, ClassVar

from micl_cli.api import (
    PUBLISHED,
    QUESTION_ID,
    RELEASE,
    STRICT,
    ManifestError,
    Prediction,
    Reader,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    choices_of,
    chosen_letter,
    lettered,
    text_field,
)
from micl_readers.llava import Images, MakeQuestion, conversation_rows, question_row, question_rows, under
from micl_readers.mllm_cl import CITATION, LICENCE, ORIGIN, qa_task

MATHVISTA, MMT_BENCH = "mathvista", "mmt-bench"
NOT_PUBLISHED = "(not published)"
"""The reference of a question without a published answer."""
RULES = "rules"
OCR_CATEGORIES = (
    *("Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition"),
    *("Handwriting Recognition", "Digit String Recognition", "Non-Semantic Text Recognition"),
    *("Scene Text-centric VQA", "Doc-oriented VQA", "Key Information Extraction"),
    "Handwritten Mathematical Expression Recognition",
)

_TRAIN = {"ocr": "OCR/train_without_dense_caption.json"}
_FOLDERS = {"ocr": "OCR", "math": "Math", "vp": "VP", "app": "APP"}
_TABLE_KEYS = ("index", "question", "prediction", "opt")
_ALL, _NO_CHOICE = "ALL_", "Z"
"""What ids of APP's questions begin with before the row in the server's table, and the letter of no choice."""
_OWN_KEYS = ("question_id", "image", "text", "answer")


class Ability(Reader):
    """The ability sequence: text in images, mathematics and logic, visual perception, user interfaces."""

    benchmark = "mllm-cl-ability"
    title = "MLLM-CL (abilities)"
    marks = ("OCR_test/test.json", "Math_test/test.json", "VP_test/test.json", "APP_test/test.json")
    licence = LICENCE
    citation = CITATION
    origin = ORIGIN
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "ocr": qa_task(
            "text in images (Monkey's data; tested on OCRBench)",
            128_100,
            1_000,
            scorers={RELEASE: "mllm_ocr_release", STRICT: "mllm_ocr_strict"},
            max_new_tokens=2048,
            note="the published evaluation puts a blank, and no line break, between image and question; without it: "
            "--prompts file",
        ),
        "math": qa_task(
            "mathematics and logic (MathV360K, MAVIS; tested on MathVista testmini)",
            526_100,
            1_000,
            scorers={RULES: "mllm_math_rules"},
            exports=(MATHVISTA,),
            max_new_tokens=2048,
            note="published scores use answers that GPT extracts from replies; here rules extract them, a "
            f"deviation. For the published evaluation: micl predictions RUN --format {MATHVISTA}",
        ),
        "vp": qa_task(
            "visual perception: counting (CLEVR, TallyQA; tested on CV-Bench)",
            119_900,
            800,
            scorers={RELEASE: "mllm_vp_release", STRICT: "mllm_vp_strict"},
            max_new_tokens=64,
        ),
        "app": qa_task(
            "screens of user interfaces (ScreenQA, MultiUI, Screen2Words; tested on MMT-Bench)",
            147_300,
            800,
            scorers={RULES: "mllm_app_rules"},
            exports=(MMT_BENCH,),
            max_new_tokens=1024,
            note="published scores come from the server of MMT-Bench; here rules find the chosen letter, a deviation, "
            "and questions without a published answer count as wrong. For the server: "
            f"micl predictions RUN --format {MMT_BENCH}",
        ),
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        """Return the training file of the task's folder, and the test file of the folder beside it."""
        folder = _FOLDERS[task]
        train = source.find(_TRAIN.get(task, f"{folder}/train.json"))
        return {"train": train, "test": source.find(f"{folder}_test/test.json")}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield the conversations, then the questions."""
        folder = _FOLDERS[task]
        makers: dict[str, MakeQuestion] = {"math": _math_question, "vp": _count_question, "app": _screen_question}
        makers["ocr"] = _published_text_question if source.prompts == PUBLISHED else _text_question
        train, test = under(folder, f"{folder}/images"), under(f"{folder}_test", f"{folder}_test/images")
        return chain(
            conversation_rows(source, files["train"], train),
            question_rows(source, files["test"], test, makers[task]),
        )

    def export(self, task: str, form: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        """Yield a JSON file for MathVista's scripts, or a TSV file for the server of MMT-Bench."""
        return _mathvista(predictions) if form == MATHVISTA else _mmt_bench(predictions)


# Questions


def _text_question(item: Mapping[str, Any], where: str, images: Images, prefix: str = "") -> Row:
    category = text_field(item, "answer_type", where)
    if category not in OCR_CATEGORIES:
        hint = f"The categories are {', '.join(OCR_CATEGORIES)}."
        raise ManifestError(f"{where}: unknown answer_type {category!r}", hint)
    return question_row(item, where, images, prefix=prefix, meta={"category": category})


def _published_text_question(item: Mapping[str, Any], where: str, images: Images) -> Row:
    return _text_question(item, where, images, prefix=" ")


def _count_question(item: Mapping[str, Any], where: str, images: Images) -> Row:
    """Return a question with its dimension (2D or 3D) as category, and its task, such as Count."""
    meta = {name: str(item[key]) for name, key in (("category", "type"), ("task", "task")) if item.get(key)}
    return question_row(item, where, images, meta=meta)


def _math_question(item: Mapping[str, Any], where: str, images: Images) -> Row:
    """Return a question with MathVista's facts: the type and precision of the answer, the choices, the task."""
    own = _further_keys(item)
    facts = own.get("metadata")
    category = facts.get("task") if isinstance(facts, dict) else own.get("task")
    typed = {key: own[key] for key in ("answer_type", "precision") if own.get(key) not in (None, "")}
    meta = {"item": own, **typed, **_choices(own), **_category(category)}
    return question_row(item, where, images, meta=meta)


def _screen_question(item: Mapping[str, Any], where: str, images: Images) -> Row:
    own = _further_keys(item)
    unknown = item.get("answer") in (None, "")
    meta = {"item": own, **_choices(own), **_category(own.get("category"))}
    return question_row(item, where, images, references=(NOT_PUBLISHED,) if unknown else None, meta=meta)


def _further_keys(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an item without a field in a row, for scoring and export."""
    return {str(key): value for key, value in item.items() if key not in _OWN_KEYS}


def _category(value: Any) -> dict[str, str]:
    return {"category": value} if isinstance(value, str) and value else {}


def _choices(own: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the choices of an item by letter: a list, or columns A, B, ..."""
    listed = own.get("choices")
    columns = [str(own[letter]) for letter in takewhile(lambda letter: own.get(letter), ascii_uppercase)]
    texts = list(map(str, listed)) if isinstance(listed, list) else columns
    return {"choices": lettered(texts)} if len(texts) > 1 else {}


# Prediction files


def _mathvista(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yield an object by problem id, as MathVista's extraction and scoring scripts read it: "response" is the reply."""
    separator = "{"
    for example, answer in predictions:
        own = {**example.meta.get("item", {}), "answer": example.references[0]}
        problem = own.get("pid", example.meta.get(QUESTION_ID, example.id))
        fields = {**own, "query": example.prompt, "response": answer}
        yield f"{separator}\n{json.dumps(str(problem))}: {json.dumps(fields)}"
        separator = ","
    yield "{}\n" if separator == "{" else "\n}\n"


def _mmt_bench(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yield a table with the columns of the test file, its ids as "index", the reply, and the chosen letter as "opt".

    The server reads "opt": "Z" stands for a reply that names no choice, or several.
    """
    own = [example.meta.get("item", {}) for example, _ in predictions]
    columns = [key for key in dict.fromkeys(key for item in own for key in item) if key not in _TABLE_KEYS]
    yield _tsv(["index", "question", *columns, "prediction", "opt"])
    for (example, answer), item in zip(predictions, own, strict=True):
        index = str(item.get("index", example.meta.get(QUESTION_ID, example.id))).removeprefix(_ALL)
        letter = chosen_letter(answer, choices_of(example) or lettered([""] * 26)) or _NO_CHOICE
        yield _tsv([index, example.prompt, *(item.get(column, "") for column in columns), answer, letter])


def _tsv(values: Iterable[Any]) -> str:
    line = io.StringIO()
    texts = [
        value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False) for value in values
    ]
    csv.writer(line, delimiter="\t", lineterminator="\n").writerow(texts)
    return line.getvalue()
