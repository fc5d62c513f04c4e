"""COCO captions: several captions an image, images beside or above the annotations, mismatches."""

from __future__ import annotations

from typing import Any

IMAGES = [{"id": 9, "file_name": "a.png", "height": 8, "width": 8}, {"id": 7, "file_name": "b.png"}]
CAPTIONS = [
    {"image_id": 9, "id": 1, "caption": "A bird."},
    {"image_id": 7, "id": 2, "caption": "A cat."},
    {"image_id": 9, "id": 3, "caption": "A small bird."},
]


def coco(images: Any = IMAGES, annotations: Any = CAPTIONS) -> dict[str, Any]:
    return {"info": {"description": "x"}, "licenses": [], "images": images, "annotations": annotations}


def test_an_image_has_all_its_captions(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("train2017/a.png", "train2017/b.png", "val2017/a.png", "val2017/b.png")
    files = [data_folder.write(f"annotations/captions_{name}2017.json", coco()) for name in ("train", "val")]
    rows = rows_of("--from", f"train={files[0]}", "--from", f"test={files[1]}", "--media-root", data_folder.root)
    assert rows[0] == {
        "id": "train-9",
        "split": "train",
        "image": "train2017/a.png",
        "prompt": "Describe the image.",
        "references": ["A bird.", "A small bird."],
    }
    assert [row["image"] for row in rows[2:]] == ["val2017/a.png", "val2017/b.png"]
    assert (rows_of.task["type"], rows_of.task["metric"]) == ("captioning", "cider")


def test_images_may_be_beside_the_annotations(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png")
    rows = rows_of("--from", data_folder.write("captions.json", coco()), "--split", "50/50", "--prompt", "What is it?")
    assert sorted(row["image"] for row in rows) == ["a.png", "b.png"]
    assert {row["prompt"] for row in rows} == {"What is it?"}


def test_what_does_not_fit_together_is_named(data_folder: Any, micl: Any) -> None:
    data_folder.pictures("a.png", "b.png")
    more = [*IMAGES, {"id": 5, "file_name": "c.png"}, {"id": 9, "file_name": "a.png"}]
    captions = [*CAPTIONS, {"image_id": 4, "id": 8, "caption": "lost"}]
    path = data_folder.write("captions.json", coco(more, captions))
    words = ("prepare", "--from", path, "--as", "x", "--split", "50/50")
    failed = micl(*words)
    assert failed.code == 4
    assert "captions.json:1: image 5 (c.png) has no caption" in failed.err
    assert "captions.json:1: image id 9 occurs twice" in failed.err
    assert "captions.json:1: 1 captions of image 4, which is not among the images" in failed.err
    skipped = micl(*words, "--on-error", "skip")
    assert skipped.code == 0
    assert "3 examples skipped" in skipped.err


def test_boxes_are_not_captions(data_folder: Any, micl: Any) -> None:
    boxes = [{"image_id": 9, "id": 1, "bbox": [0, 0, 1, 1], "category_id": 3}]
    path = data_folder.write("instances_train2017.json", coco(annotations=boxes))
    failed = micl("prepare", "--from", path, "--as", "x", "--split", "50/50")
    assert failed.code == 4
    assert "instances_train2017.json:1: the annotations are boxes or masks, not captions" in failed.err
    assert "captions_train2017.json" in failed.err
