"""Folders of media: classes, splits, tables of metadata, media without a row and rows without media."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def test_folders_are_classes(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures(
        "train/cat/1.png", "train/dog/1.png", "validation/cat/2.png", "test/dog/3.png", "test/.x/4.png"
    )
    rows = rows_of("--from", data_folder.root, "--prompt", "Which animal?")
    assert [(row["id"], row["image"], row["references"]) for row in rows] == [
        ("1", "test/dog/3.png", ["dog"]),
        ("train-1", "train/cat/1.png", ["cat"]),
        ("train-2", "train/dog/1.png", ["dog"]),
        ("val-1", "validation/cat/2.png", ["cat"]),
    ]
    assert (rows_of.task["type"], rows_of.task["metric"]) == ("qa", "accuracy")


def test_classes_without_splits_are_divided(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures(*(f"{name}/{n}.png" for name in ("cat", "dog") for n in range(10)))
    rows = rows_of("--from", data_folder.root, "--prompt", "Which animal?", "--split", "80/10/10")
    assert rows_of.task["counts"] == {"train": 16, "val": 2, "test": 2}
    assert {row["image"]: row["split"] for row in rows} == {
        row["image"]: row["split"]
        for row in rows_of("--from", data_folder.root, "--prompt", "Which animal?", "--split", "8/1/1")
    }


def test_metadata_describes_the_media(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("train/1.png", "train/deep/2.png", "test/3.png")
    data_folder.write("train/metadata.csv", "file_name,text,caption\n1.png,x,A cat.\ndeep/2.png,x,A dog.\n")
    data_folder.write("test/metadata.jsonl", [{"file_name": "3.png", "caption": ["A cow.", "Some cow."]}])
    rows = rows_of("--from", data_folder.root)
    assert [(row["id"], row["image"], row["references"]) for row in rows] == [
        ("1", "test/3.png", ["A cow.", "Some cow."]),
        ("train-1", "train/1.png", ["A cat."]),
        ("train-2", "train/deep/2.png", ["A dog."]),
    ]


def test_media_and_metadata_that_do_not_fit_together(data_folder: Any, micl: Any) -> None:
    data_folder.pictures("1.png", "2.png", "3.png")
    data_folder.write("metadata.csv", "file_name,caption\n1.png,A cat.\n2.png,A dog.\n4.png,A cow.\n")
    words = ("prepare", "--from", data_folder.root, "--as", "x", "--split", "50/50")
    failed = micl(*words)
    assert failed.code == 4
    assert "3.png: no row of metadata names this file" in failed.err
    skipped = micl(*words, "--on-error", "skip")
    assert skipped.code == 0
    assert "4.png: the file does not exist" in skipped.err
    assert "2 examples skipped" in skipped.err


def test_sounds(own_folders: Path, data_folder: Any, rows_of: Any) -> None:
    for number, name in enumerate(("train/low", "train/high", "test/low")):
        (data_folder.root / name).mkdir(parents=True)
        shutil.copy(own_folders / f"aud_qa/media/{number}.wav", data_folder.root / name)
    rows = rows_of("--from", data_folder.root, "--prompt", "How high?")
    assert [row["audio"] for row in rows] == ["test/low/2.wav", "train/high/1.wav", "train/low/0.wav"]
