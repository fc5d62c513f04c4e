"""The six data sets of MICL in the shape in which they are published, with small media."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import soundfile

from micl_cli.api import Fault, Row, Source, SourceRow
from micl_readers.micl.reader import Micl

COLOURS = ("red", "green", "blue")


def write_image(path: Path, number: int) -> None:
    """Write a picture that is mostly of one of three colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 60, (16, 16, 3), np.uint8)
    pixels[:, :, number % 3] += 180
    PIL.Image.fromarray(pixels).save(path)


def write_sound(path: Path, number: int) -> None:
    """Write a short tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.sin(np.arange(1600) * (0.1 + 0.2 * (number % 3)) + number).astype(np.float32) / 2
    soundfile.write(path, wave, 8000)


def write_clip(path: Path, number: int) -> None:
    """Write four grey frames as MP4 or AVI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(4))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for frame in range(4):
            pixels = np.full((32, 32, 3), 40 + 7 * number + frame, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def captions_of(number: int, count: int, thing: str = "thing") -> list[str]:
    return [f"A {COLOURS[number % 3]} {thing}, seen {again} times ." for again in range(count)]


def write_flickr30k(folder: Path, splits: Sequence[str] = ("train",) * 8 + ("val",) * 2 + ("test",) * 4) -> None:
    """Write Karpathy's file and the pictures; its splits follow each other in no order."""
    images, sentid = [], 0
    for number, split in sorted(enumerate(splits), key=lambda pair: pair[0] % 3):
        name = f"{1000092795 + number}.jpg"
        write_image(folder / "flickr30k-images" / name, number)
        sentences = []
        for text in captions_of(number, 5):
            words = text.lower().split()
            sentences.append({"tokens": words, "raw": text, "imgid": number, "sentid": sentid})
            sentid += 1
        ids = [each["sentid"] for each in sentences]
        images.append({"sentids": ids, "imgid": number, "sentences": sentences, "split": split, "filename": name})
    write_json(folder / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})


def write_tokens(folder: Path, count: int) -> None:
    """Write the token file, which has no splits, and the pictures."""
    lines = []
    for number in range(count):
        name = f"{1000092795 + number}.jpg"
        write_image(folder / "flickr30k-images" / name, number)
        lines += [f"{name}#{i}\t{text}" for i, text in enumerate(captions_of(number, 5))]
    (folder / "results_20130124.token").write_text("\n".join(lines) + "\n")


def write_ok_vqa(folder: Path, counts: tuple[int, int] = (10, 4)) -> None:
    """Write questions, two for every second image, and ten answers each."""
    for part, count, start in (("train2014", counts[0], 51606), ("val2014", counts[1], 297147)):
        questions, annotations = [], []
        for number in range(count):
            image, id = start + number // 2, start * 10 + number
            write_image(folder / part / f"COCO_{part}_{image:012d}.jpg", image)
            questions.append({"image_id": image, "question": f"What is number {number}?", "question_id": id})
            words = ["race"] * 6 + ["ride"] * 2 + ["motor"] * 2
            answers = [
                {"answer_id": i, "raw_answer": f"{word}ing", "answer_confidence": "yes", "answer": word}
                for i, word in enumerate(words, 1)
            ]
            annotations.append(
                {
                    "image_id": image,
                    "answer_type": "other",
                    "question_type": "four",
                    "question_id": id,
                    "answers": answers,
                    "confidence": 3,
                }
            )
        head = {"info": {"version": "1.1"}, "license": {}, "data_type": "mscoco", "data_subtype": part}
        write_json(
            folder / f"OpenEnded_mscoco_{part}_questions.json",
            {**head, "task_type": "Open-Ended", "questions": questions},
        )
        write_json(folder / f"mscoco_{part}_annotations.json", {**head, "annotations": annotations})


AUDIOCAPS = ("audiocap_id", "youtube_id", "start_time", "caption")


def write_audiocaps(
    folder: Path, audio: str = "all_audios", name: Callable[[str, int], str] = lambda clip, id: clip
) -> None:
    """Write the tables and sounds; ``name`` gives a file's stem from a clip's youtube_id and an audiocap_id."""
    id = 0
    for split, count in {"train": 6, "val": 2, "test": 3}.items():
        rows = []
        for number in range(count):
            clip = f"-{split}_{number}aB"
            for text in captions_of(number, 1 if split == "train" else 5, 'noise, then a "hum"'):
                id += 1
                rows.append((id, clip, 30 * number, text))
            write_sound(folder / audio.format(split=split) / f"{name(clip, id)}.wav", id)
        write_csv(folder / f"{split}.csv", AUDIOCAPS, rows)


CLOTHO = ("file_name", "QuestionText", "answer", "confidence")


def write_clotho_aqa(folder: Path) -> None:
    """Write six questions a file, two of them about one word, each with three rows."""
    for split, files in {"train": 2, "val": 1, "test": 1}.items():
        rows = []
        for number in range(files):
            file = f"Rain, {split} (take {number}).wav"
            write_sound(folder / "audio_files" / file, len(split) + 7 * number)
            for question in range(4):
                answers = ("yes", "no", "yes") if question % 2 else ("No", "no", "yes")
                rows += [(file, f"Is it number {question}?", answer, "maybe") for answer in answers]
            rows += [(file, "What falls?", answer, "yes") for answer in ("water", "rain", "Rain")]
            rows += [(file, "Where?", answer, "no") for answer in ("outside", "garden", "roof")]
        write_csv(folder / f"clotho_aqa_{split}.csv", CLOTHO, rows)


def write_msr_vtt(folder: Path, places: tuple[str, str] = ("videos/all", "videos/all")) -> None:
    """Write the two files and the clips, in one folder or in two."""
    number = 0
    for file, splits, place in (
        ("train_val", ["train"] * 3 + ["validate"] * 2 + ["train"], places[0]),
        ("test", ["test"] * 2, places[1]),
    ):
        videos: list[dict[str, Any]] = []
        sentences: list[dict[str, Any]] = []
        for split in splits:
            id = f"video{number}"
            write_clip(folder / place / f"{id}.mp4", number)
            url = f"https://www.youtube.com/watch?v={number}"
            head = {"category": 9, "url": url, "video_id": id, "start time": 137.7, "end time": 149.4}
            videos.append({**head, "split": split, "id": number})
            sentences += [
                {"caption": text, "video_id": id, "sen_id": 20 * number + i}
                for i, text in enumerate(captions_of(number, 20))
            ]
            number += 1
        content = {"info": {"year": "2016"}, "videos": videos, "sentences": sentences[::-1]}
        write_json(folder / f"{file}_videodatainfo.json", content)


def write_msvd_qa(folder: Path, videos: str = "video") -> None:
    """Write the questions, the mapping and the clips."""
    names = {number: f"-4wsuPCjDBc_{number}_{number + 15}" for number in range(1, 5)}
    (folder / videos).mkdir(parents=True)
    (folder / "youtube_mapping.txt").write_text("".join(f"{name} vid{n}\n" for n, name in names.items()))
    id = 0
    for split, numbers in {"train": (1, 2), "val": (3,), "test": (4,)}.items():
        questions = []
        for number in numbers:
            write_clip(folder / videos / f"{names[number]}.avi", number)
            for word in ("chewing", "animal", "two"):
                questions.append({"answer": word, "id": id, "question": f"what is {word}?", "video_id": number})
                id += 1
        write_json(folder / f"{split}_qa.json", questions)


WRITERS: dict[str, Callable[..., None]] = {
    "dataset/flickr30k": write_flickr30k,
    "dataset/coco/OK-VQA": write_ok_vqa,
    "dataset/AudioCaps": write_audiocaps,
    "dataset/Clotho-AQA": write_clotho_aqa,
    "dataset/MSRVTT": write_msr_vtt,
    "dataset/MSVD-QA": write_msvd_qa,
}


class Sets:
    """Writes the data sets and reads them."""

    flickr30k = staticmethod(write_flickr30k)
    tokens = staticmethod(write_tokens)
    ok_vqa = staticmethod(write_ok_vqa)
    audiocaps = staticmethod(write_audiocaps)
    clotho_aqa = staticmethod(write_clotho_aqa)
    msr_vtt = staticmethod(write_msr_vtt)
    msvd_qa = staticmethod(write_msvd_qa)
    csv = staticmethod(write_csv)
    json = staticmethod(write_json)

    def all(self, root: Path) -> Path:
        """Write all six in the layout of the authors."""
        for place, write in WRITERS.items():
            write(root / place)
        return root

    def read(self, task: str, root: Path, media_root: Path | None = None) -> tuple[list[Row], list[Fault], list[str]]:
        """Return the rows, the faults and the notes of a task. Media that a row names exist, or there is a fault."""
        source = Source(root.resolve(), (media_root or root).resolve(), root)
        items = list(Micl().rows(task, Micl().locate(task, source), source))
        rows = [item.row for item in items if isinstance(item, SourceRow)]
        return rows, [item for item in items if isinstance(item, Fault)], source.notes


@pytest.fixture
def sets() -> Sets:
    """The data sets in their published shape."""
    return Sets()
