"""Good data sets in several formats, and changes that make them bad."""

from __future__ import annotations

import io
import os
import struct
import wave
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

Change = Callable[[Any], None]

NAMES = [f"{name}.png" for name in "abcdef"]
SPLITS = ["train", "train", "train", "test", "test", "val"]
ROWS = [{"image": name, "question": "Which?", "answer": f"x{n}", "split": SPLITS[n]} for n, name in enumerate(NAMES)]


class Base(NamedTuple):
    """A good data set: its files by name, its pictures, and the arguments that prepare it."""

    files: dict[str, Any]
    pictures: list[str]
    words: tuple[str, ...]


def table(delimiter: str = ",") -> str:
    rows = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]
    return "".join(delimiter.join(row) + "\n" for row in rows)


def questions(number: int, **more: Any) -> dict[str, Any]:
    return {"question_id": number, "image_id": number, "question": "Which?", **more}


def replies(number: int) -> dict[str, Any]:
    return {"question_id": number, "image_id": number, "answers": [{"answer": "x"}] * 10}


def dialogue(name: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": "x"}]
    return {"id": name, "image": name, "conversations": turns}


def sound() -> bytes:
    """Return a WAV file of 2000 samples."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(200)) * 20)
    return stream.getvalue()


def karpathy(name: str, split: str) -> dict[str, Any]:
    return {"filename": name, "split": split, "sentences": [{"raw": f"A thing {n}."} for n in range(5)]}


COCO = {
    "images": [{"id": n, "file_name": name} for n, name in enumerate(NAMES)],
    "annotations": [{"id": n, "image_id": n, "caption": f"A thing {n}."} for n in range(len(NAMES))],
}
RS_TRAIN = [{**dialogue(f"images/{name}"), "id": str(n)} for n, name in enumerate(NAMES[:3])]
RS_TEST = [
    {"question_id": n, "image": f"images/{name}", "text": "Which?", "answer": "yes"} for n, name in enumerate(NAMES[3:])
]
HALVES = ("--as", "own/x", "--split", "60/40")
BASES = {
    "csv": Base({"x.csv": table()}, NAMES, ("--from", "x.csv", "--as", "own/x")),
    "tsv": Base({"x.tsv": table("\t")}, NAMES, ("--from", "x.tsv", "--as", "own/x")),
    "jsonl": Base({"x.jsonl": ROWS}, NAMES, ("--from", "x.jsonl", "--as", "own/x")),
    "json": Base({"x.json": ROWS}, NAMES, ("--from", "x.json", "--as", "own/x")),
    "coco": Base({"captions.json": COCO}, NAMES, ("--from", "captions.json", *HALVES)),
    "vqa": Base(
        {
            "v2_OpenEnded_x_questions.json": {"questions": [questions(n) for n in range(6)]},
            "v2_x_annotations.json": {"annotations": [replies(n) for n in range(6)]},
        },
        [f"{n}.png" for n in range(6)],
        ("--from", "v2_OpenEnded_x_questions.json", *HALVES),
    ),
    "sounds": Base(
        {f"{kind}/{n}.wav": sound() for kind in ("low", "high") for n in range(3)},
        [],
        ("--from", ".", "--prompt", "?", *HALVES),
    ),
    "llava": Base({"talk.json": [dialogue(name) for name in NAMES]}, NAMES, ("--from", "talk.json", *HALVES)),
    "classes": Base(
        {},
        [f"{kind}/{name}" for kind in ("cat", "dog") for name in NAMES[:3]],
        ("--from", ".", "--prompt", "?", *HALVES),
    ),
    "metadata": Base(
        {"metadata.csv": "file_name,caption\n" + "".join(f"{name},A thing.\n" for name in NAMES)},
        NAMES,
        ("--from", ".", *HALVES),
    ),
    "flickr30k": Base(
        {"dataset_flickr30k.json": {"images": [karpathy(name, SPLITS[n]) for n, name in enumerate(NAMES)]}},
        [f"flickr30k-images/{name}" for name in NAMES],
        ("micl/img_cap", "--root", "."),
    ),
    "mllm-cl": Base(
        {"RS/train.json": RS_TRAIN, "RS/test.json": RS_TEST},
        [f"RS/images/{name}" for name in NAMES],
        ("mllm-cl-domain/rs", "--root", "."),
    ),
}


class Case(NamedTuple):
    """A change to a good data set, and the expected message.

    ``skipped`` examples are left out under ``--on-error skip``; if it is None, nothing can be prepared.
    """

    base: str
    name: str
    changes: tuple[Change, ...]
    says: tuple[str, ...]
    code: int = 4
    skipped: int | None = None
    words: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()


def edit(file: str, old: str, new: str) -> Change:
    def change(folder: Any) -> None:
        path = folder.root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def content(file: str, data: str | bytes) -> Change:
    return lambda folder: folder.write(file, data)


def encoded(file: str, encoding: str, newline: str = "\n") -> Change:
    def change(folder: Any) -> None:
        path = folder.root / file
        path.write_bytes(path.read_text().replace("\n", newline).encode(encoding))

    return change


def remove(file: str) -> Change:
    return lambda folder: (folder.root / file).unlink()


def rename(old: str, new: str) -> Change:
    return lambda folder: (folder.root / old).rename(folder.root / new)


def truncate(file: str, size: int) -> Change:
    return lambda folder: os.truncate(folder.root / file, size)


def link_out(file: str) -> Change:
    def change(folder: Any) -> None:
        outside = folder.root.parent / "outside.png"
        (folder.root / file).rename(outside)
        (folder.root / file).symlink_to(outside)

    return change


def pipe(file: str) -> Change:
    def change(folder: Any) -> None:
        (folder.root / file).unlink(missing_ok=True)
        os.mkfifo(folder.root / file)

    return change


def bomb() -> bytes:
    """Return a PNG of a few bytes that says it has 3.6 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
