"""UCIT's files: folders of images, and captions that are numbered by the order of questions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from micl_cli.api import Media


def images(rows: list[Any]) -> list[str]:
    return [str(row.media[0].path) for row in rows]


def test_images_are_found_below_datasets_whatever_their_paths_begin_with(build: Any, read: Any) -> None:
    root = build("ucit").root
    rows = read("ucit/imagenet-r", root)
    assert images(rows)[0] == "datasets/ImageNet-R/train/0.jpg"
    assert (
        images(read("ucit/iconqa", root, "test"))[1] == "datasets/IconQA/iconqa_data/iconqa/test/choose_txt/1/image.png"
    )
    assert images(read("ucit/vizwiz-cap", root, "test"))[0] == "datasets/VizWiz/val/0.jpg"
    assert images(read("ucit/clevr-math", root, media_root=root / "datasets"))[0] == "CLEVR/train/0.jpg"


@pytest.mark.parametrize(
    ("task", "old", "new"),
    [
        ("vizwiz-cap", "VizWiz", "VizWiz-caption"),
        ("flickr30k-cap", "Flickr30k", "Flickr30k-cap"),
        ("clevr-math", "CLEVR", "CLEVR-Math"),
    ],
)
def test_instructions_may_lie_beside_the_images_in_folders_named_by_the_task(
    task: str, old: str, new: str, build: Any, read: Any
) -> None:
    root = build("ucit").root
    before = read(f"ucit/{task}", root)
    (root / "instructions" / old).rename(root / new)
    assert read(f"ucit/{task}", root) == before


def test_rows_have_the_published_ids_prompts_and_answers(build: Any, read: Any) -> None:
    train, *_, test, _, _ = read("ucit/imagenet-r", build("ucit").root)
    asked = "Which colour is it?\nAnswer the question using a single word or phrase."
    assert (train.id, train.split, train.references, train.prompt) == ("train-0", "train", ("red",), asked)
    assert (test.id, test.split, test.references, test.prompt) == ("q0", "test", ("red",), asked)
    assert isinstance(test.content[0], Media)


def test_a_training_image_is_never_taken_from_the_folder_of_the_test(build: Any, read: Any) -> None:
    data = build("ucit")
    folder = data.root / "datasets/Flickr30k"
    data.write("instructions/Flickr30k/train_brief_4w.json", [
        {**item, "image": f"{n}.jpg"} for n, item in enumerate(data.items("instructions/Flickr30k/train_brief_4w.json"))
    ])  # fmt: skip
    assert images(read("ucit/flickr30k-cap", data.root, "train"))[0] == "datasets/Flickr30k/train/0.jpg"
    (folder / "train/0.jpg").unlink()
    assert not (data.root / images(read("ucit/flickr30k-cap", data.root, "train"))[0]).exists()


def test_references_of_captions_are_those_of_the_number_in_the_file(build: Any, read: Any) -> None:
    rows = read("ucit/flickr30k-cap", build("ucit").root, "test")
    assert [row.references for row in rows] == [
        ("a plain red picture number 0", "picture 1"),
        ("a plain green picture number 1", "picture 2"),
        ("a plain blue picture number 2", "picture 3"),
    ]


def test_a_question_that_cannot_be_used_does_not_shift_the_captions_of_others(build: Any, read: Any) -> None:
    data = build("ucit")
    items = data.items("instructions/Flickr30k/test_3000.json")
    data.write("instructions/Flickr30k/test_3000.json", [{**items[0], "image": 5}, *items[1:]])
    fault, second, _ = read("ucit/flickr30k-cap", data.root, "test")
    assert fault.startswith("instructions/Flickr30k/test_3000.json:2: image is neither")
    assert second.references[1] == "picture 2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda coco: coco["images"].pop(), "there is no image 3"),
        (lambda coco: coco["images"].append({"id": 4}), "3 questions, but instructions/VizWiz/val_coco"),
        (lambda coco: coco["images"].append({"id": 9}), "the ids of its 4 images are not 1 to 4"),
        (lambda coco: coco["images"].append({"id": "x"}), "id is not a number: 'x'"),
        (lambda coco: coco.pop("images"), "it has no key 'images'"),
        (lambda coco: coco["annotations"].clear(), "has no caption of image 1"),
        (lambda coco: coco["annotations"][0].pop("caption"), "the key 'caption' is missing"),
    ],
)
def test_captions_that_do_not_belong_to_the_questions_are_refused(
    change: Any, message: str, build: Any, micl: Any
) -> None:
    data = build("ucit")
    path = data.root / "instructions/VizWiz/val_coco_type_3000.json"
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    done = micl("prepare", "ucit/vizwiz-cap", "--root", data.root)
    assert (done.code, done.out) == (4, "")
    assert message in done.err
    assert "instructions/VizWiz/" in done.err


def test_captions_can_be_scored_without_java(build: Any, micl: Any) -> None:
    root = build("ucit").root
    done = micl("prepare", "ucit/flickr30k-cap", "ucit/arxivqa", "--root", root, "--scorer", "without-meteor", "--json")
    assert [task["metric"] for task in json.loads(done.out)["tasks"]] == ["caption_mean6", "exact_upper"]
    assert "METEOR needs Java: --scorer without-meteor does without" in done.err
