"""Two tasks of CL-VISTA in the published shape."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

Write = Callable[[Path, Any], Path]


@pytest.fixture
def write_json() -> Write:
    """Write a document below a folder that is made for it, an item of a list a line."""

    def call(path: Path, content: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = ",\n".join(map(json.dumps, content)) if isinstance(content, list) else json.dumps(content)
        path.write_text(f"[{text}]\n" if isinstance(content, list) else text)
        return path

    return call


@pytest.fixture
def write_clip() -> Callable[[Path, int], Path]:
    """Write an MP4 of four grey frames."""

    def call(path: Path, brightness: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=4)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
            for index in range(4):
                pixels = np.full((16, 32, 3), (brightness + 9 * index) % 256, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        return path

    return call


@pytest.fixture
def vista(tmp_path: Path, write_json: Write, write_clip: Callable[[Path, int], Path]) -> Path:
    """The folder of the data set, with Counting and STAR: four conversations, three questions each."""
    root = tmp_path / "CL-VISTA"
    for task, shift in (("Counting", 0), ("STAR", 100)):
        conversations = []
        for number in range(4):
            write_clip(root / task / "train" / f"t{number}.mp4", shift + 20 * number)
            turns = [
                {"from": "human", "value": f"<video>\nHow many are there, {number}?"},
                {"from": "gpt", "value": str(number)},
            ]
            # Paths begin with the task's folder, with the split, or are names alone.
            path = (f"{task}/train/t{number}.mp4", f"train/t{number}.mp4", f"t{number}.mp4", f"./t{number}.mp4")[number]
            conversations.append({"id": f"{task}_{number}", "video": path, "conversations": turns})
        questions, answers = [], []
        for number in range(3):
            write_clip(root / task / "test" / f"v_{number}.mp4", shift + 20 * number + 7)
            name = f"v_{number}" if number else "v_0.mp4"  # with and without the ending
            questions.append({"video_name": name, "question_id": f"v_{number}_0", "question": f"How many, {number}?"})
            answers.append({"question_id": f"v_{number}_0", "answer": f"{number} of them"})
        write_json(root / task / "train.json", conversations)
        write_json(root / task / "test_q.json", questions)
        write_json(root / task / "test_a.json", answers[::-1])  # the order of ids differs
    return root


@pytest.fixture(scope="session")
def judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small random language model, as a judge."""
    sys.path.append(str(Path(__file__).parents[2] / "micl_backbones"))
    from languages import write_language

    folder = tmp_path_factory.mktemp("judge")
    write_language(folder)
    return folder
