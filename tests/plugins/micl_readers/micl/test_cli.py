"""MICL's tasks from the folders of the data sets to a report, by commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def root(sets: Any, tmp_path: Path) -> Path:
    """The six data sets in the layout of the authors."""
    return Path(sets.all(tmp_path / "MICL"))


def test_one_root_gives_all_tasks(micl: Any, root: Path) -> None:
    done = micl("prepare", "micl", "--root", root, "--json")
    assert done.code == 0, done.err
    tasks = {task["name"]: task for task in json.loads(done.out)["tasks"]}
    assert list(tasks) == [f"micl/{name}" for name in ("aud_cap", "img_cap", "vid_qa", "aud_qa", "img_qa", "vid_cap")]
    assert {name: task["metric"] for name, task in tasks.items()} == {
        "micl/aud_cap": "cider",
        "micl/img_cap": "cider",
        "micl/vid_qa": "accuracy",
        "micl/aud_qa": "accuracy",
        "micl/img_qa": "vqa_accuracy_simple",
        "micl/vid_cap": "cider",
    }
    assert tasks["micl/vid_cap"]["counts"] == {"train": 4, "val": 2, "test": 2}
    assert "train: 8 of 29,000 published examples" in tasks["micl/img_cap"]["notes"]
    assert not [leak for task in tasks.values() for leak in task["leaks"]]


def test_questions_for_validation_are_set_aside_by_image(micl: Any, sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path / "OK-VQA")
    words = ("prepare", "micl/img_qa", "--root", tmp_path / "OK-VQA", "--json")
    (task,) = json.loads(micl(*words).out)["tasks"]
    assert task["counts"] == {"train": 8, "val": 2, "test": 4}
    assert task["leaks"] == []
    assert "train: 10 of 9,009 published examples" in task["notes"]
    (more,) = json.loads(micl(*words, "--val", "4").out)["tasks"]
    assert more["counts"] == {"train": 6, "val": 4, "test": 4}


def test_what_a_reader_found_is_told(micl: Any, sets: Any, tmp_path: Path) -> None:
    sets.tokens(tmp_path / "flickr30k", 30)
    done = micl("prepare", "micl/img_cap", "--root", tmp_path)
    assert done.code == 0
    assert "micl/img_cap: results_20130124.token has no splits" in done.err


def test_the_official_vqa_accuracy_is_the_strict_scorer(micl: Any, sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path / "OK-VQA")
    done = micl("prepare", "micl/img_qa", "--root", tmp_path, "--scorer", "strict", "--json")
    (task,) = json.loads(done.out)["tasks"]
    assert (task["scorer"], task["metric"]) == ("strict", "vqa_accuracy")


def test_captions_are_shared_instructions(micl: Any, sets: Any, tmp_path: Path, isolated: Path) -> None:
    sets.msr_vtt(tmp_path / "MSRVTT")
    assert micl("prepare", "micl/vid_cap", "--root", tmp_path / "MSRVTT").code == 0
    assert 'instruction = "describe the video."' in (isolated / "tasks/micl/vid_cap/task.toml").read_text()


def test_examples_without_a_medium_are_refused_or_counted(micl: Any, sets: Any, tmp_path: Path) -> None:
    root = tmp_path / "MICL"
    sets.audiocaps(root / "dataset/AudioCaps")
    (root / "dataset/AudioCaps/all_audios/-train_1aB.wav").unlink()
    refused = micl("prepare", "micl/aud_cap", "--root", root)
    assert (refused.code, refused.out) == (4, "")
    assert "dataset/AudioCaps/train.csv:3: dataset/AudioCaps/all_audios/-train_1aB.wav: " in refused.err
    skipped = micl("prepare", "micl/aud_cap", "--root", root, "--on-error", "skip", "--json")
    (task,) = json.loads(skipped.out)["tasks"]
    assert task["counts"]["train"] == 5
    assert [each["id"] for each in task["refused"]] == ["train--train_1aB"]


ORDERS = {
    "order-1": "aud_cap,img_cap,vid_qa,aud_qa,img_qa,vid_cap",
    "order-2": "img_cap,vid_cap,vid_qa,img_qa,aud_cap,aud_qa",
}


def test_recipes_and_orders_are_those_of_the_paper(
    micl: Any, root: Path, toy_site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(toy_site))
    micl("prepare", "micl", "--root", root)
    for name, order in ORDERS.items():
        recipe = ("--recipe", f"micl-{name}", "--benchmark", "micl")
        for words in (recipe, ("--strategy", "finetune", "--tasks", f"micl:{name}")):
            done = micl("learn", "--backbone", "toy", "--dry-run", "--json", *words)
            assert done.code == 0, done.err
            assert json.loads(done.out)["plan"]["tasks"] == [f"micl/{task}" for task in order.split(",")]


def test_from_folders_to_a_report(micl: Any, learn: Any, sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path / "MICL/coco/OK-VQA")
    sets.flickr30k(tmp_path / "MICL/flickr30k")
    assert micl("prepare", "micl/img_qa,micl/img_cap", "--root", tmp_path / "MICL").code == 0
    pairs = tmp_path / "pseudo_targets" / "flickr30k.json"
    pairs.parent.mkdir()
    captions = [f"A red thing, seen {again} times ." for again in range(5)]
    pairs.write_text(json.dumps({caption: ["Which colour?", "red"] for caption in captions}))
    words = ("--strategy", "moincl", "--tasks", "micl/img_qa,micl/img_cap", "--max-steps", "2")
    done = learn(*words, "-o", "pseudo_targets", pairs.parent)
    assert done.code == 0, done.err
    assert "3 questions for 3 of 8 training examples of micl/img_cap are from" in done.err
    assert "those for the other 5 are written" in done.err
    (run,) = json.loads(micl("report", "@last", "--json").out)["runs"]
    assert run["tasks"] == ["micl/img_qa", "micl/img_cap"]
    assert [len(row) for row in run["matrix"]] == [2, 2]
    scored = [json.loads(line) for line in micl("eval", run["id"], "--stage", "2", "--json").out.splitlines()]
    main = {(event["task"], event["metric"]) for event in scored if event["event"] == "scored" and event["main"]}
    assert main == {("micl/img_qa", "vqa_accuracy_simple"), ("micl/img_cap", "cider")}
