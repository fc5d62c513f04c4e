"""POPE, MME, MMBench and SEED-Bench in their published shapes, in one folder."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from micl_readers.general.mme import COGNITION, PERCEPTION

ROTATIONS = ("ABC", "CAB", "BCA")
"""Where the options of a question with three of them stand in its rotations."""


@pytest.fixture
def jpeg() -> Callable[[int], bytes]:
    """The bytes of a small JPEG."""

    def call(seed: int) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "JPEG")
        return file.getvalue()

    return call


Jpeg = Callable[[int], bytes]


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture
def pope_root(tmp_path: Path, jpeg: Jpeg) -> Path:
    """Three files of four questions on two images; question ids begin at 1 in each."""
    root = tmp_path / "general"
    for number in range(2):
        write(root / "val2014" / f"COCO_val2014_{number:012}.jpg", jpeg(number))
    for split in ("random", "popular", "adversarial"):
        lines = [
            {
                "question_id": number + 1,
                "image": f"COCO_val2014_{number // 2:012}.jpg",
                "text": f"Is there a {'dog' if number % 2 else 'cat'} in the image?",
                "label": "no" if number % 2 else "yes",
            }
            for number in range(4)
        ]
        write(root / "coco" / f"coco_pope_{split}.json", "".join(json.dumps(line) + "\n" for line in lines))
    return root


@pytest.fixture
def mme_root(tmp_path: Path, jpeg: Jpeg) -> Path:
    """One image in each category; those of three lie in folders of their own."""
    root = tmp_path / "general"
    for number, category in enumerate((*PERCEPTION, *COGNITION)):
        folder = root / "MME_Benchmark_release_version" / category
        apart = category in ("celebrity", "posters", "artwork")
        write(folder / ("images" if apart else "") / "0001.jpg", jpeg(100 + number))
        text = "Is it a? Please answer yes or no.\tYes\nIs it b? Please answer yes or no.\tNo\n"
        write(folder / ("questions_answers_YN" if apart else "") / "0001.txt", text)
    return root


@pytest.fixture
def mmbench_root(tmp_path: Path, jpeg: Jpeg) -> Path:
    """Two questions with three options and one with two, in all rotations. Copies refer to the first row's image."""
    root = tmp_path / "general"
    head = ["index", "question", "hint", *"ABCD", "answer", "category", "image", "l2-category", "split"]
    lines = ["\t".join(head)]
    for index, options in ((7, ("cat", "dog", "cow")), (8, ("red", "blue", "green")), (9, ("yes", "no"))):
        data = base64.b64encode(jpeg(200 + index)).decode()
        for rotation in range(len(options)):
            moved = [options[place - rotation] for place in range(len(options))]
            cells = [*moved, "", ""][:4] if len(moved) == 3 else [*moved, "", ""]
            answer = "ABC"[rotation]  # the first option is right
            image = data if not rotation or index == 8 else str(index)
            hint = '"He said ""look"""' if index == 7 else ""
            row = [
                str(index + 1_000_000 * rotation),
                f"Which, {index}?",
                hint,
                *cells,
                answer,
                f"kind{index % 2}",
                image,
            ]
            lines.append("\t".join([*row, "coarse", "dev"]))
    write(root / "mmbench_dev_20230712.tsv", "\n".join(lines) + "\n")
    return root


@pytest.fixture
def seed_root(tmp_path: Path, jpeg: Jpeg) -> Path:
    """Three questions about images in two categories, and one about a video."""
    root = tmp_path / "general"
    questions = [
        {
            "answer": "BAC"[number],
            **{f"choice_{letter}": f"{letter}{number}" for letter in "abcd"},
            "data_id": f"{number}_1",
            "data_type": "image",
            "question": f"Which one, {number}?",
            "question_id": str(500 + number),
            "question_type_id": 1 + number % 2,
        }
        for number in range(3)
    ]
    for number in range(3):
        write(root / "SEED-Bench-image" / f"{number}_1", jpeg(300 + number))  # names have no ending
    clip = {**questions[0], "question_id": "600", "data_type": "video", "data_id": "v.mp4", "segment": [0.0, 2.0]}
    document = {"questions": [*questions, clip], "question_type": {"Scene Understanding": 1, "Instance Identity": 2}}
    write(root / "SEED-Bench.json", json.dumps(document, indent=1))
    return root


@pytest.fixture
def general_root(pope_root: Path, mme_root: Path, mmbench_root: Path, seed_root: Path) -> Path:
    """All four below one root."""
    return pope_root
