"""MM-MergeBench: names of files, captions by their number, and unseen tasks."""

from __future__ import annotations

import json
from typing import Any


def test_captions_are_those_of_the_number_in_the_file(build: Any, read: Any) -> None:
    root = build("mm-mergebench").root
    for task, rows in (("flickr30k", 7), ("screen2words", 3)):
        found = read(f"mm-mergebench/{task}", root)
        assert len(found) == rows
        assert found[-1].references == ("a plain blue picture number 2", "picture 3")
        assert all((root / row.media[0].path).is_file() for row in found)


def test_boxes_are_kept_for_the_scorer(build: Any, read: Any) -> None:
    row = read("mm-mergebench/rec", build("mm-mergebench").root, "test")[0]
    assert row.meta == {"bbox": [0.1, 0.2, 0.5, 0.6], "size": [640.0, 480.0]}


def test_unseen_tasks_are_for_evaluation_only(build: Any, micl: Any) -> None:
    done = micl("prepare", "mm-mergebench/tabmwp", "--root", build("mm-mergebench").root, "--json")
    assert done.code == 0, done.err
    (task,) = json.loads(done.out)["tasks"]
    assert (task["metric"], task["counts"]["test"], task["counts"].get("train", 0)) == ("exact_upper", 3, 0)
    assert micl("learn", "--strategy", "finetune", "--backbone", "toy", "--tasks", "mm-mergebench/tabmwp").code != 0


def test_rules_of_each_task() -> None:
    from micl_cli.registry import Registry

    tasks = Registry.discover().load("readers", "mm-mergebench").tasks
    assert {name: task.scorers["release"] for name, task in tasks.items()} == {
        "scienceqa": "coin_scienceqa_answer_is",
        "vizwiz-cap": "caption_mean7",
        "imagenet": "cvit_class_release",
        "vqav2": "exact_upper",
        "rec": "coin_grounding_release",
        "iconqa": "exact_upper",
        "flickr30k": "caption_mean7",
        "ocr-vqa": "coin_ocrvqa_release",
        "aokvqa": "exact_upper",
        "imagenet-r": "cvit_class_release",
        "screen2words": "caption_mean7",
        "tabmwp": "exact_upper",
    }
