"""POPE, MME, MMBench and SEED-Bench: their layouts, what is refused, and that nothing is learnt on them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Fault, ManifestError, Row, Source, SourceRow
from micl_readers.general.reader import General


def read(root: Path, task: str, folder: Path | None = None) -> tuple[list[Row], list[Fault]]:
    source, reader = Source(root, root, folder or root), General()
    items = list(reader.rows(task, reader.locate(task, source), source))
    rows = [item.row for item in items if isinstance(item, SourceRow)]
    return rows, [item for item in items if isinstance(item, Fault)]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_all_are_for_evaluation_only() -> None:
    assert list(General.tasks) == ["pope", "mme", "mmbench", "seed"]
    assert all(task.evaluation_only and set(task.counts) == {"test"} for task in General.tasks.values())


# POPE


def test_pope_has_three_splits_whose_ids_do_not_collide(pope_root: Path) -> None:
    rows, faults = read(pope_root, "pope")
    assert not faults
    assert Counter(row.meta["category"] for row in rows) == {"random": 4, "popular": 4, "adversarial": 4}
    assert len({row.id for row in rows}) == 12
    assert rows[1].id == "random-2"
    assert (rows[1].prompt, rows[1].references) == ("Is there a dog in the image?", ("no",))
    assert rows[1].media[0].path == Path("val2014/COCO_val2014_000000000000.jpg")


def test_pope_needs_all_three_files(pope_root: Path) -> None:
    (pope_root / "coco" / "coco_pope_popular.json").unlink()
    with pytest.raises(ManifestError, match=r"has no coco_pope_popular\.json or "):
        read(pope_root, "pope")


def test_a_label_other_than_yes_and_no_is_a_fault(pope_root: Path) -> None:
    edit(pope_root / "coco" / "coco_pope_random.json", '"label": "no"', '"label": "maybe"')
    (fault,) = read(pope_root, "pope")[1]
    assert (fault.where, fault.reason) == ("coco/coco_pope_random.json:2", "label is 'maybe', not yes or no")


def test_a_list_instead_of_json_lines_is_an_error_with_its_line(pope_root: Path) -> None:
    path = pope_root / "coco" / "coco_pope_random.json"
    path.write_text(json.dumps([json.loads(line) for line in path.read_text().splitlines()], indent=1))
    with pytest.raises(ManifestError, match=r"coco_pope_random\.json:1: not JSON"):
        read(pope_root, "pope")


# MME


def test_mme_asks_twice_about_each_image_of_14_categories(mme_root: Path) -> None:
    rows, faults = read(mme_root, "mme")
    assert not faults
    assert set(Counter(row.meta["category"] for row in rows).values()) == {2}
    assert len(rows) == 28
    assert [row.references for row in rows[:2]] == [("Yes",), ("No",)]
    assert rows[0].prompt == "Is it a? Please answer yes or no."
    assert rows[0].meta["group"] == rows[1].meta["group"]
    assert rows[1].id == "existence/0001.jpg/2"
    celebrity = next(row for row in rows if row.meta["category"] == "celebrity")
    assert str(celebrity.media[0].path).endswith("celebrity/images/0001.jpg")


def test_mme_with_a_missing_category_is_refused(mme_root: Path) -> None:
    (mme_root / "MME_Benchmark_release_version" / "OCR" / "0001.txt").unlink()
    with pytest.raises(ManifestError, match="OCR has no questions in text files"):
        read(mme_root, "mme")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Is it a?\tYes\n", "it has 1 questions, not 2"),
        ("Is it a? Yes\nIs it b?\tNo\n", "the line is not a question, a tab, and Yes or No"),
        ("Is it a?\tPerhaps\nIs it b?\tNo\n", "the line is not a question, a tab, and Yes or No"),
    ],
)
def test_mme_refuses_half_a_pair(mme_root: Path, text: str, reason: str) -> None:
    (mme_root / "MME_Benchmark_release_version" / "scene" / "0001.txt").write_text(text)
    (fault,) = read(mme_root, "mme")[1]
    assert fault.id == "scene/0001"
    assert reason in fault.reason


def test_an_image_without_questions_is_a_fault(mme_root: Path, jpeg: Any) -> None:
    (mme_root / "MME_Benchmark_release_version" / "scene" / "0002.jpg").write_bytes(jpeg(1))
    (fault,) = read(mme_root, "mme")[1]
    assert fault.where == "MME_Benchmark_release_version/scene/0002.jpg"


# MMBench


def test_mmbench_has_every_rotation_and_writes_each_image_once(mmbench_root: Path, tmp_path: Path) -> None:
    rows, faults = read(mmbench_root, "mmbench", tmp_path / "task")
    assert not faults
    assert [row.id for row in rows] == ["7", "1000007", "2000007", "8", "1000008", "2000008", "9", "1000009"]
    assert Counter(row.meta["group"] for row in rows) == {"7": 3, "8": 3, "9": 2}
    assert rows[0].prompt == (
        'He said "look"\nWhich, 7?\nA. cat\nB. dog\nC. cow\n'
        "Answer with the option's letter from the given choices directly."
    )
    assert rows[1].meta["choices"] == {"A": "cow", "B": "cat", "C": "dog"}
    assert [row.references for row in rows[:3]] == [("A",), ("B",), ("C",)]
    assert rows[1].meta["question_id"] == 1_000_007
    assert len(list((tmp_path / "task" / "images").iterdir())) == 3
    assert {str(row.media[0].path) for row in rows} == {"images/7.jpg", "images/8.jpg", "images/9.jpg"}


def test_an_incomplete_circle_is_a_fault(mmbench_root: Path) -> None:
    path = mmbench_root / "mmbench_dev_20230712.tsv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("2000007")))
    rows, faults = read(mmbench_root, "mmbench")
    assert {fault.id for fault in faults} == {"7", "1000007"}
    assert {fault.reason for fault in faults} == {"question 7 has 2 of 3 rotations"}
    assert faults[0].where == "mmbench_dev_20230712.tsv:2"
    assert len(rows) == 5


def test_a_table_without_answers_is_refused(mmbench_root: Path) -> None:
    edit(mmbench_root / "mmbench_dev_20230712.tsv", "\tanswer\t", "\tanswers\t")
    with pytest.raises(ManifestError, match="no column 'answer'"):
        read(mmbench_root, "mmbench")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("AAA=A", "image is not base64"),
        ("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=" * 3, "image is not base64"),
        ("aGVsbG8gd29ybGQ", "image is not base64"),
        ("aGVsbG8gd29ybGQx", "image is none of JPEG, PNG, GIF and WebP"),
        ("4711", "image is the index 4711, which no earlier row has"),
        ("", "image is none of"),
    ],
)
def test_an_image_that_is_none_is_a_fault(mmbench_root: Path, image: str, reason: str) -> None:
    path = mmbench_root / "mmbench_dev_20230712.tsv"
    lines = path.read_text().splitlines(True)
    cells = lines[4].split("\t")
    path.write_text("".join([*lines[:4], "\t".join([*cells[:9], image, *cells[10:]]), *lines[5:]]))
    fault = next(fault for fault in read(mmbench_root, "mmbench")[1] if fault.where.endswith(":5"))
    assert reason in fault.reason


# SEED-Bench


def test_seed_asks_about_images_only_and_offers_letters(seed_root: Path) -> None:
    rows, faults = read(seed_root, "seed")
    assert not faults
    assert [(row.id, row.references, row.choices) for row in rows] == [
        (str(500 + number), ("BAC"[number],), ("A", "B", "C", "D")) for number in range(3)
    ]
    assert rows[0].meta["category"] == "Scene Understanding"
    assert rows[0].media[0].path == Path("SEED-Bench-image/0_1")
    assert "\nC. c0\n" in rows[0].prompt


def test_seed_refuses_unknown_categories_and_answers(seed_root: Path) -> None:
    path = seed_root / "SEED-Bench.json"
    edit(path, '"question_type_id": 2', '"question_type_id": 9')
    edit(path, '"answer": "C"', '"answer": "E"')
    faults = read(seed_root, "seed")[1]
    assert [fault.id for fault in faults] == ["501", "502"]
    assert "question_type_id 9 is not in question_type" in faults[0].reason
    assert "answer is 'E', not one of A, B, C, D" in faults[1].reason


# By the command line


@pytest.mark.slow
def test_all_four_are_prepared_and_cannot_be_learnt(general_root: Path, micl: Any, toy_site: Path) -> None:
    code, out, err = micl("prepare", "general", "--root", general_root, "--json")
    assert code == 0, err
    counts = {task["name"]: task["counts"] for task in json.loads(out)["tasks"]}
    assert counts == {
        f"general/{name}": {"train": 0, "val": 0, "test": count}
        for name, count in (("pope", 12), ("mme", 28), ("mmbench", 8), ("seed", 3))
    }
    assert "test: 12 of 9,000 published examples" in err
    words = ("--strategy", "finetune", "--tasks", "general/pope", "--backbone", "tiny", "--dry-run")
    code, out, err = micl("learn", *words)
    assert (code, out) == (4, "")
    assert "general/pope has no training examples: it is for evaluation only" in err
    assert "micl eval RUN --tasks general/pope" in err


def test_a_validation_part_of_nothing_is_refused(pope_root: Path, micl: Any) -> None:
    code, _, err = micl("prepare", "general/pope", "--root", pope_root, "--val", "5")
    assert code == 2
    assert "general/pope has no training examples to set aside" in err


def test_limits_keep_what_is_scored_together(general_root: Path, micl: Any) -> None:
    done = micl("prepare", "general/mme,general/mmbench", "--root", general_root, "--limit", "7", "--json")
    assert done.code == 0, done.err
    for task, most in zip(json.loads(done.out)["tasks"], (6, 6), strict=True):
        lines = (Path(task["folder"]) / "manifest.jsonl").read_text().splitlines()
        groups = Counter(json.loads(line)["meta"]["group"] for line in lines)
        assert 0 < len(lines) <= most
        assert set(groups.values()) <= {2, 3}


@pytest.mark.slow
def test_a_run_is_scored_on_all_four(general_root: Path, finished: str, micl: Any) -> None:
    assert micl("prepare", "general", "--root", general_root).code == 0
    done = micl("eval", finished, "--tasks", "general", "--examples", "100", "--json")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    scored = {(event["task"], event["metric"]): event for event in events if event["event"] == "scored"}
    metrics = {"pope": ("pope", 12), "mme": ("mme", 28), "mmbench": ("mmbench", 8), "seed": ("accuracy", 3)}
    assert {name: scored[f"general/{name}", metric]["n"] for name, (metric, _) in metrics.items()} == {
        name: count for name, (_, count) in metrics.items()
    }


def test_a_truncated_image_in_a_table_is_an_error_with_its_line(mmbench_root: Path, micl: Any, jpeg: Any) -> None:
    path = mmbench_root / "mmbench_dev_20230712.tsv"
    whole, cut = (base64.b64encode(data).decode() for data in (jpeg(209), jpeg(209)[:300]))
    edit(path, whole, cut)
    code, out, err = micl("prepare", "general/mmbench", "--root", mmbench_root)
    assert (code, out) == (4, "")
    assert "mmbench_dev_20230712.tsv:8: images/9.jpg: " in err
    assert "mmbench_dev_20230712.tsv:9: images/9.jpg: " in err  # its rotation
    code, _, err = micl("prepare", "general/mmbench", "--root", mmbench_root, "--on-error", "skip")
    assert code == 0
    assert "2 examples skipped" in err
