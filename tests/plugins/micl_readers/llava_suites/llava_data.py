"""Small data sets in the published shapes of the LLaVA-style suites."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import PIL.Image

COLOURS = ("red", "green", "blue")
TRAIN, TEST = 4, 3


class DataSet:
    """A data set on disk: pictures, and annotation files with an item a line."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def picture(self, path: str, number: int = 0) -> None:
        """Write a picture of the colour with a number."""
        pixels = [number * 7 % 60] * 3
        pixels[number % 3] += 180
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (24, 16), tuple(pixels)).save(file)

    def write(self, path: str, items: Sequence[Any]) -> None:
        """Write a JSON list with an item a line, the first in line 2."""
        self.text(path, "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n")

    def lines(self, path: str, items: Iterable[Any]) -> None:
        """Write JSON Lines."""
        self.text(path, "".join(json.dumps(item) + "\n" for item in items))

    def document(self, path: str, value: Any) -> None:
        """Write any JSON document."""
        self.text(path, json.dumps(value))

    def text(self, path: str, text: str) -> None:
        """Write a text file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def items(self, path: str) -> list[Any]:
        """Return the content of a JSON list."""
        found: list[Any] = json.loads((self.root / path).read_text())
        return found

    def task(
        self,
        train: str,
        test: str,
        images: str = "",
        *,
        path: str = "{split}/{number}.jpg",
        answer: Callable[[int], Any] = lambda number: COLOURS[number % 3],
        test_split: str = "test",
        **keys: Any,
    ) -> None:
        """Write both files of a task and its pictures below the folder ``images``; ``keys`` are those of questions."""
        asked = "Which colour is it?\nAnswer the question using a single word or phrase."
        for split, count in (("train", TRAIN), (test_split, TEST)):
            for number in range(count):
                shown = number if split == "train" else number + TRAIN * 3  # the same colour, another picture
                self.picture(f"{images}/{path.format(split=split, number=number)}", shown)
        self.write(train, [
            conversation(str(number), path.format(split="train", number=number), asked, answer(number))
            for number in range(TRAIN)
        ])  # fmt: skip
        self.write(test, [
            question(f"q{number}", path.format(split=test_split, number=number), asked, answer(number), **keys)
            for number in range(TEST)
        ])  # fmt: skip


def conversation(name: str, image: str, asked: str, answer: Any) -> dict[str, Any]:
    """An example to learn from."""
    turns = [{"from": "human", "value": f"<image>\n{asked}"}, {"from": "gpt", "value": str(answer)}]
    return {"id": name, **({"image": image} if image else {}), "conversations": turns}


def question(name: Any, image: str, asked: str, answer: Any, **keys: Any) -> dict[str, Any]:
    """A question to answer."""
    return {"question_id": name, **({"image": image} if image else {}), "text": asked, "answer": answer, **keys}


def caption(number: int) -> str:
    """A caption of a picture."""
    return f"a plain {COLOURS[number % 3]} picture number {number}"


def ucit(data: DataSet) -> None:
    """UCIT: paths begin with the folder of the data set, as published."""
    for folder, train in (("ImageNet-R", "train.json"), ("ArxivQA", "train_4w.json"), ("CLEVR", "train_4w.json")):
        below = f"instructions/{folder}"
        data.task(f"{below}/{train}", f"{below}/test_3000.json", "datasets", path=f"{folder}/{{split}}/{{number}}.jpg")
    below = "instructions/IconQA"
    inner = "datasets/IconQA/iconqa_data/iconqa"
    data.task(f"{below}/train.json", f"{below}/test_3000.json", inner, path="{split}/choose_txt/{number}/image.png")
    for folder, train in (("VizWiz", "train.json"), ("Flickr30k", "train_brief_4w.json")):
        below = f"instructions/{folder}"
        data.task(f"{below}/{train}", f"{below}/test_3000.json", f"datasets/{folder}", answer=caption,
                  test_split="val")  # fmt: skip
        data.document(f"{below}/val_coco_type_3000.json", coco(TEST))


def coco(count: int) -> dict[str, Any]:
    """Two captions of each of the images 1 to ``count``."""
    texts = [(number, text) for number in range(1, count + 1) for text in (caption(number - 1), f"picture {number}")]
    annotations = [{"id": n, "image_id": number, "caption": text} for n, (number, text) in enumerate(texts)]
    return {"images": [{"id": number} for number in range(1, count + 1)], "annotations": annotations}


def coin(data: DataSet, instructions: str = "Instructions_Original", test: str = "") -> None:
    """CoIN, or the tasks of CoIN-ASD with other file names."""
    data.task(f"{instructions}/ScienceQA/train.json", f"{instructions}/ScienceQA/{test or 'test.json'}",
              "cl_dataset/ScienceQA/images", path="{split}/{number}/image.png",
              answer=lambda n: "ABC"[n % 3])  # fmt: skip
    items = data.items(f"{instructions}/ScienceQA/test.json")
    del items[1]["image"]  # half of ScienceQA has no image
    data.write(f"{instructions}/ScienceQA/test.json", items)
    problems = {f"q{n}": {"choices": ["x", "y", "z"], "answer": n, "subject": "natural science"} for n in range(TEST)}
    data.document("cl_dataset/ScienceQA/problems.json", problems)
    coin_textvqa(data, instructions)
    classes = "goldfinch, Carduelis carduelis"
    data.task(f"{instructions}/ImageNet/train.json", f"{instructions}/ImageNet/test.json", "cl_dataset",
              path="ImageNet_withlabel/{split}/{number}.JPEG", answer=lambda n: classes)  # fmt: skip
    data.task(f"{instructions}/GQA/train.json", f"{instructions}/GQA/test.json", "cl_dataset/GQA/images",
              path="n{split}{number}.jpg")  # fmt: skip
    answers = {f"q{n}": {"question": "?", "answer": ("yes", "left", "dog")[n]} for n in range(TEST)}
    data.document("cl_dataset/GQA/testdev_balanced_questions.json", answers)
    for folder in ("VizWiz", "VQAv2"):
        images = "cl_dataset/VizWiz" if folder == "VizWiz" else "cl_dataset/COCO2014"
        path = "{split}/{number}.jpg" if folder == "VizWiz" else "{split}2014/{number}.jpg"
        data.task(f"{instructions}/{folder}/train.json", f"{instructions}/{folder}/{test or 'val.json'}", images,
                  path=path, test_split="val")  # fmt: skip
    data.task(f"{instructions}/OCRVQA/train.json", f"{instructions}/OCRVQA/test.json", "cl_dataset/OCR-VQA/images",
              path="{split}{number}.jpg")  # fmt: skip
    data.task(f"{instructions}/Grounding/train.json", f"{instructions}/Grounding/test.json", "cl_dataset",
              path="COCO2014/train2014/{split}{number}.jpg", answer=lambda n: "[0.1, 0.2, 0.5, 0.6]",
              answer_bbox="[0.1, 0.2, 0.5, 0.6]", size=[640, 480])  # fmt: skip


def coin_textvqa(data: DataSet, instructions: str) -> None:
    """TextVQA: the ids of questions are those of images; answers are in the annotations of the data set."""
    train, test = f"{instructions}/TextVQA/train.json", f"{instructions}/TextVQA/test.json"
    data.task(train, test, "cl_dataset/TextVQA", path="{split}_images/{number}.jpg")
    asked = [("0", "Which brand?"), ("0", "What year?"), ("1", "Which brand?")]
    tail = "\nAnswer the question using a single word or phrase."
    items = [question(image, f"train_images/{image}.jpg", text + tail, "?") for image, text in asked]
    data.write(test, items)
    texts = [["nokia"] * 9 + ["the nokia"], ["2011"] * 2 + ["no"] * 8, ["apple"] * 10]
    annotations = [
        {"question_id": 34600 + n, "image_id": image, "question": text, "answers": texts[n]}
        for n, (image, text) in enumerate(asked)
    ]
    data.document("cl_dataset/TextVQA/TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": annotations})


def coin_asd(data: DataSet) -> None:
    """CoIN-ASD: the tests of all tasks are named alike, the training files by the share of rewritten examples."""
    coin(data, "annotations", "test.json")
    for file in list((data.root / "annotations").glob("*/train.json")):
        file.with_name("train_x20.json").write_text(file.read_text())


def trigap(data: DataSet) -> None:
    """TriGap: four of its tasks, one of which has a sample only."""
    for folder in ("PMCVQA", "ChartQA"):
        below = f"instructions/{folder}"
        data.task(f"{below}/train_standard_4w.json", f"{below}/test_standard_3k.json", "datasets",
                  path=f"{folder}/{{split}}/{{number}}.jpg")  # fmt: skip
    data.task("instructions/ArxivQA/train_4w_sub.json", "instructions/ArxivQA/test_3000.json",
              "datasets/ArxivQA/images", path="{split}{number}.jpg")  # fmt: skip
    data.task("instructions/DocVQA/train_converted.json", "instructions/DocVQA/val_converted.json", "datasets/DocVQA")
    items = data.items("instructions/DocVQA/val_converted.json")
    data.write("instructions/DocVQA/val_converted.json", [{**item, "answer": ["4 May", "May 4"]} for item in items])


def cvit(data: DataSet) -> None:
    """CVIT: its tasks in the layout that is assumed."""
    for folder in ("ScienceQA", "Places365"):
        data.task(f"instructions/{folder}/train.json", f"instructions/{folder}/test.json", f"datasets/{folder}",
                  answer=lambda n: "ABC"[n % 3])  # fmt: skip
    below = "instructions/Flickr30k"
    data.task(f"{below}/train.json", f"{below}/test.json", "datasets/Flickr30k", answer=caption)
    items = data.items(f"{below}/test.json")
    captions = [{**item, "answer": [caption(n), f"picture {n}"]} for n, item in enumerate(items)]
    data.write(f"{below}/test.json", captions)


def mm_mergebench(data: DataSet) -> None:
    """MM-MergeBench: three of its seen tasks and two of the unseen ones, which have no training file."""
    data.task("instructions/IconQA/train.json", "instructions/IconQA/val.json", "datasets/IconQA")
    data.task("instructions/Grounding/train.json", "instructions/Grounding/test.json", "datasets",
              path="COCO2014/train2014/{split}{number}.jpg", answer=lambda n: "[0.1, 0.2, 0.5, 0.6]",
              answer_bbox="[0.1, 0.2, 0.5, 0.6]", size=[640, 480])  # fmt: skip
    for folder, train, test, images in (
        ("flickr30k-caption", "train_brief.json", "val_brief.json", "Flickr30k"),
        ("Screen2words", "unused.json", "test.json", "Screen2words"),
    ):
        below = f"instructions/{folder}"
        split = test.removesuffix(".json").removesuffix("_brief")
        data.task(f"{below}/{train}", f"{below}/{test}", f"datasets/{images}", answer=caption, test_split=split)
        data.document(f"{below}/{split}_coco_type.json", coco(TEST))
    data.task("instructions/TabMWP/unused.json", "instructions/TabMWP/test.json", "datasets/TabMWP")


def cl4vqa(data: DataSet) -> None:
    """CL4VQA: one task as a list with the keys of VQA v2, and one as its two lists."""
    for task, joined in (("recognition", True), ("count", False)):
        for split, folder, count in (("train", "train2014", TRAIN), ("val", "val2014", TEST)):
            questions = [
                {"question_id": 1000 * joined + number, "image_id": number + 9, "question": "Which colour?"}
                for number in range(count)
            ]
            annotations = [_vqa_annotation(each, number) for number, each in enumerate(questions)]
            path = f"{split}_q_{task}.json"
            if joined:
                data.write(path, [{**q, **a} for q, a in zip(questions, annotations, strict=True)])
            else:
                data.document(path, {"info": {}, "questions": questions, "annotations": annotations})
            for number in range(count):
                data.picture(f"{folder}/COCO_{folder}_{number + 9:012d}.jpg", number)


def _vqa_annotation(question: dict[str, Any], number: int) -> dict[str, Any]:
    colour = COLOURS[number % 3]
    answers = [{"answer": colour, "answer_confidence": "yes", "answer_id": n + 1} for n in range(10)]
    found = {"question_id": question["question_id"], "image_id": question["image_id"], "answers": answers}
    return {**found, "multiple_choice_answer": colour, "answer_type": "other", "question_type": "what"}


def continual_next(data: DataSet) -> None:
    """Continual-NExT: a task with images in the messages format, and one of text alone in Alpaca's."""
    for split, count in (("train", TRAIN), ("test", TEST)):
        for number in range(count):
            data.picture(f"GeoChat/images/{split}{number}.jpg", number)
        data.lines(f"GeoChat/{split}.jsonl", [
            {
                "messages": [
                    {"role": "user", "content": "<image>Which colour?"},
                    {"role": "assistant", "content": COLOURS[number % 3]},
                ],
                "images": [f"images/{split}{number}.jpg"],
            }
            for number in range(count)
        ])  # fmt: skip
        data.write(f"MathQA/{split}.json", [
            {"instruction": "Add.", "input": f"{number} + 1", "output": f"{number + 1}"} for number in range(count)
        ])  # fmt: skip


def continual_news(data: DataSet) -> None:
    """Continual-News: two years as queries and responses."""
    for year in ("2022", "2023"):
        for split, count in (("train", TRAIN), ("test", TEST)):
            items = [{"query": f"Who won race {n} of {year}?", "response": f"team {n}"} for n in range(count)]
            data.write(f"{year}_{split}.json", items)


BUILDERS: dict[str, Callable[[DataSet], None]] = {
    "ucit": ucit,
    "coin": coin,
    "coin-asd": coin_asd,
    "trigap": trigap,
    "cvit": cvit,
    "cl4vqa": cl4vqa,
    "mm-mergebench": mm_mergebench,
    "continual-next": continual_next,
    "continual-news": continual_news,
}
