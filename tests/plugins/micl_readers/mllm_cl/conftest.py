"""MLLM-CL in its published shape, with a handful of examples a task and the traps of the real files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from micl_cli.api import Fault, Reader, Row, Source

Item = dict[str, Any]
Write = Callable[..., Path]
ReadRows = Callable[..., dict[str, Row | Fault]]


def talk(name: Any, image: str | None, *values: str) -> Item:
    """Return an item of train.json; it has no key "image" for text alone."""
    turns = [{"from": ("human", "gpt")[index % 2], "value": value} for index, value in enumerate(values)]
    return {"id": name, **({} if image is None else {"image": image}), "conversations": turns}


def ask(name: Any, image: str, text: str, answer: Any, **keys: Any) -> Item:
    """Return an item of test.json."""
    return {"question_id": name, "image": image, "text": text, "answer": answer, **keys}


def _training(folder: str) -> list[Item]:
    """Return training items of a task, with all forms of paths, a repeated id, text alone, and several turns."""
    return [
        talk(0, f"./{folder}/images/0.png", "<image>\nWhich colour is it?", "red"),
        talk(1, f"{folder}/images/1.png", "Which colour is it?\n<image>", "green"),
        talk(1, "images/2.png", "<image>\nWhich colour is it?", "blue", "Is it red?", "no"),
        talk(3, None, "Which colour has the sky?", "blue"),
    ]


DOMAIN: dict[str, list[Item]] = {
    "RS": [
        ask(0, "./RS/images/0.png", "Is it a rural or an urban area", "urban"),
        ask(1, "RS/images/1.png", "Is a road present?", "no"),
    ],
    "Med": [
        ask("m0", "images/0.png", "Is a tumour present?", "no"),
        ask("m1", "images/1.png", "What is it?", "a cell"),
    ],
    "AD": [ask(0, "AD/images/0.png", "What is ahead?", "a white van")],
    "Sci": [
        ask(0, "Sci/images/AI2D_0.png", "Which letter?", "A"),
        ask(1, "Sci/images/MapQA_1.png", "Which states have the highest value?", "Ohio, Iowa"),
        ask(2, "Sci/images/MapQA_2.png", "What is the value of Ohio?", "10-20"),
    ],
    "Fin": [
        ask(0, "Fin/images/0.png", "Does it rise?", "Yes"),
        ask(1, "Fin/images/1.png", "Which one? A. up B. down", "A"),
    ],
}
_HINT = "Hint: Please answer the question {} at the end.\nQuestion: {}"
_LETTER = "and provide the correct option letter, e.g., A, B, C, D,"
_INTEGER = "requiring an integer answer and provide the final value, e.g., 1, 2, 3,"
ABILITY: dict[str, list[Item]] = {
    "OCR": [
        ask(0, "./OCR_test/images/0.png", "what is written?", ["STOP", "stop"], answer_type="Regular Text Recognition"),
        ask(1, "images/1.png", "what is the total?", ["$5.00"], answer_type="Key Information Extraction"),
        ask(2, "2.png", "write it in LaTeX", ["x + Y"], answer_type="Handwritten Mathematical Expression Recognition"),
    ],
    "Math": [
        ask(
            "1",
            "Math_test/images/1.png",
            _HINT.format(_LETTER, "Which one?\nChoices:\n(A) 2 cm\n(B) 3 cm"),
            "3 cm",
            pid="17",
            question_type="multi_choice",
            answer_type="text",
            choices=["2 cm", "3 cm"],
            metadata={"task": "geometry problem solving"},
        ),
        ask("2", "Math_test/images/2.png", _HINT.format(_INTEGER, "How many?"), "7", precision=None),
    ],
    "VP": [
        ask(0, "VP_test/images/0.png", "How many dogs are there?", "2", type="2D", task="Count"),
        ask(1, "VP_test/images/1.png", "Which is nearer?", "(A)", type="3D", task="Depth"),
    ],
    "APP": [
        ask(11, "APP_test/images/0.png", "Which button?\n(A) the left\n(B) the\tright", "B", category="gui"),
        {"question_id": 12, "image": "APP_test/images/1.png", "text": "Which icon?", "A": "a bell", "B": "a cup"},
    ],
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the data set and return its root; ``write(RS=[...])`` replaces the questions of a task."""

    def call(**changed: Any) -> Path:
        root = tmp_path / "MLLM-CL"
        for folder, items in {**DOMAIN, **ABILITY, **changed}.items():
            half = folder if folder in DOMAIN else f"{folder}_test"
            _images(root / folder / "images", 3)
            _images(root / half / "images", 3)
            train = "train_without_dense_caption.json" if folder == "OCR" else "train.json"
            (root / folder / train).write_text(json.dumps(_training(folder), indent=1))
            (root / half / "test.json").write_text(json.dumps(items, indent=1))
        for name in ("AI2D_0", "MapQA_1", "MapQA_2"):
            PIL.Image.new("RGB", (24, 24), "blue").save(root / "Sci" / "images" / f"{name}.png")
        for name in ("task5Router_train20.json", "task5replay20_train.json", "OCR/train.json"):
            (root / name).write_text("[not read")
        return root

    return call


def _images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        PIL.Image.new("RGB", (24, 24), ("red", "green", "blue")[number % 3]).save(folder / f"{number}.png")


@pytest.fixture
def rows() -> ReadRows:
    """Return the rows and faults of a task by id."""

    def call(reader: type[Reader], task: str, root: Path, prompts: str = "published") -> Mapping[str, Row | Fault]:
        source = Source(root, root, root, prompts)
        found = reader().rows(task, reader().locate(task, source), source)
        return {each.id if isinstance(each, Fault) else each.row.id: _bare(each) for each in found}

    return call


def _bare(each: Any) -> Row | Fault:
    return each if isinstance(each, Fault) else each.row
