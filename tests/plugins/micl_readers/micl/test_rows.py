"""The examples of MICL's data sets: ids, prompts, references and media."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Row
from micl_readers.micl.clotho_aqa import majority
from micl_readers.micl.reader import DATA_SETS


def by_split(rows: list[Row]) -> dict[str, int]:
    return {split: sum(row.split == split for row in rows) for split in ("train", "val", "test")}


def the(rows: list[Row], id: str) -> tuple[str, str, str, tuple[str, ...]]:
    """The split, path, prompt and references of an example."""
    (row,) = (row for row in rows if row.id == id)
    return row.split, str(row.media[0].path), row.prompt, row.references


def test_flickr30k_by_karpathys_splits(sets: Any, tmp_path: Path) -> None:
    sets.flickr30k(tmp_path)
    rows, faults, notes = sets.read("img_cap", tmp_path)
    assert (by_split(rows), faults, notes) == ({"train": 8, "val": 2, "test": 4}, [], [])
    split, path, prompt, references = the(rows, "1000092805")
    assert (split, path) == ("test", "flickr30k-images/1000092805.jpg")
    assert prompt == "describe the image."
    assert references[:2] == ("A green thing, seen 0 times .", "A green thing, seen 1 times .")
    assert len(references) == 5
    assert [row.split for row in rows] == ["train"] * 8 + ["val"] * 2 + ["test"] * 4
    assert {row.id[:6] for row in rows if row.split == "train"} == {"train-"}


def test_the_token_file_is_split_the_same_on_every_machine_and_says_so(sets: Any, tmp_path: Path) -> None:
    sets.tokens(tmp_path, 40)
    rows, faults, notes = sets.read("img_cap", tmp_path)
    assert (by_split(rows), faults) == ({"train": 32, "val": 4, "test": 4}, [])
    assert "results_20130124.token has no splits" in notes[0]
    lines = (tmp_path / "results_20130124.token").read_text().splitlines()
    (tmp_path / "results_20130124.token").write_text("\n".join(lines[::-1]) + "\n")
    again = sets.read("img_cap", tmp_path)[0]
    assert {row.id for row in again} == {row.id for row in rows}
    assert the(rows, rows[0].id)[3] == ("A red thing, seen 0 times .", *the(rows, rows[0].id)[3][1:])


def test_karpathys_file_goes_before_the_token_file(sets: Any, tmp_path: Path) -> None:
    sets.flickr30k(tmp_path)
    sets.tokens(tmp_path, 14)
    assert by_split(sets.read("img_cap", tmp_path)[0]) == {"train": 8, "val": 2, "test": 4}


def test_ok_vqa_keeps_ten_answers_and_the_published_question_id(sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path)
    rows, faults, _ = sets.read("img_qa", tmp_path)
    assert (by_split(rows), faults) == ({"train": 10, "val": 0, "test": 4}, [])
    answers = ("race",) * 6 + ("ride",) * 2 + ("motor",) * 2
    assert the(rows, "2971473") == ("test", "val2014/COCO_val2014_000000297148.jpg", "What is number 3?", answers)
    assert the(rows, "train-516060")[:2] == ("train", "train2014/COCO_train2014_000000051606.jpg")


def test_ok_vqa_finds_images_of_coco_beside_its_folder(sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path / "coco" / "OK-VQA")
    for part in ("train2014", "val2014"):
        (tmp_path / "coco" / "OK-VQA" / part).rename(tmp_path / "coco" / part)
    rows, _, _ = sets.read("img_qa", tmp_path)
    assert the(rows, "2971473")[1] == "coco/val2014/COCO_val2014_000000297148.jpg"


@pytest.mark.parametrize(
    ("audio", "stem"),
    [
        ("all_audios", lambda clip, id: clip),
        ("audio/{split}", lambda clip, id: f"Y{clip}"),
        ("{split}", lambda clip, id: str(id)),
    ],
    ids=["youtube_id", "Y+youtube_id", "audiocap_id"],
)
def test_audiocaps_has_five_references_for_a_clip_of_the_test(sets: Any, tmp_path: Path, audio: str, stem: Any) -> None:
    sets.audiocaps(tmp_path, audio, stem)
    rows, faults, notes = sets.read("aud_cap", tmp_path)
    assert (by_split(rows), faults, notes) == ({"train": 6, "val": 2, "test": 3}, [], [])
    split, _, prompt, references = the(rows, "-test_1aB")
    assert (split, prompt, len(references)) == ("test", "describe the audio.", 5)
    assert references[4] == 'A green noise, then a "hum", seen 4 times .'
    assert len(the(rows, "train--train_0aB")[3]) == 1
    assert all((tmp_path / str(row.media[0].path)).is_file() for row in rows)


def test_clips_of_audiocaps_with_fewer_captions_are_counted(sets: Any, tmp_path: Path) -> None:
    sets.audiocaps(tmp_path)
    lines = (tmp_path / "test.csv").read_text().splitlines(keepends=True)
    (tmp_path / "test.csv").write_text("".join(lines[:-2]))
    _, faults, notes = sets.read("aud_cap", tmp_path)
    assert (faults, notes) == ([], ["test: 1 example has another number of references than 5"])


def test_clotho_aqa_makes_one_example_of_three_rows_by_majority(sets: Any, tmp_path: Path) -> None:
    sets.clotho_aqa(tmp_path)
    rows, faults, notes = sets.read("aud_qa", tmp_path)
    assert (by_split(rows), faults) == ({"train": 12, "val": 6, "test": 6}, [])
    assert notes == ["all splits: 24 of 11,946 published questions"]
    file = "audio_files/Rain, test (take 0).wav"
    assert the(rows, "Rain, test (take 0).wav#1") == ("test", file, "Is it number 0?", ("No",))
    assert the(rows, "Rain, test (take 0).wav#2")[3] == ("yes",)
    assert the(rows, "Rain, test (take 0).wav#5")[2:] == ("What falls?", ("rain",))
    assert the(rows, "Rain, test (take 0).wav#6")[3] == ("outside",)


@pytest.mark.parametrize(
    ("answers", "one"),
    [(["a"], "a"), (["b", "a", "A"], "a"), (["x", "y", "z"], "x"), (["No", "yes", "no", "yes"], "No")],
)
def test_the_majority_is_the_first_of_the_most_frequent_answers(answers: list[str], one: str) -> None:
    assert majority(answers) == one


@pytest.mark.parametrize("places", [("videos/all", "videos/all"), ("TrainValVideo", "TestVideo")])
def test_msr_vtt_in_one_folder_or_two(sets: Any, tmp_path: Path, places: tuple[str, str]) -> None:
    sets.msr_vtt(tmp_path, places)
    rows, faults, notes = sets.read("vid_cap", tmp_path)
    assert (by_split(rows), faults, notes) == ({"train": 4, "val": 2, "test": 2}, [], [])
    split, path, prompt, references = the(rows, "video7")
    assert (split, path, prompt) == ("test", f"{places[1]}/video7.mp4", "describe the video.")
    assert len(references) == 20
    assert the(rows, "val-video3")[1] == f"{places[0]}/video3.mp4"


def test_msvd_qa_names_videos_by_its_mapping(sets: Any, tmp_path: Path) -> None:
    sets.msvd_qa(tmp_path)
    rows, faults, _ = sets.read("vid_qa", tmp_path)
    assert (by_split(rows), faults) == ({"train": 6, "val": 3, "test": 3}, [])
    assert the(rows, "10") == ("test", "video/-4wsuPCjDBc_4_19.avi", "what is animal?", ("animal",))


def test_the_authors_layout_holds_all_six(sets: Any, tmp_path: Path) -> None:
    root = sets.all(tmp_path)
    for task in DATA_SETS:
        rows, faults, _ = sets.read(task, root)
        assert not faults
        assert all((root / str(row.media[0].path)).is_file() for row in rows)


def test_media_may_lie_elsewhere(sets: Any, tmp_path: Path) -> None:
    sets.flickr30k(tmp_path / "a")
    (tmp_path / "a" / "flickr30k-images").rename(tmp_path / "pictures")
    rows, _, _ = sets.read("img_cap", tmp_path / "a", tmp_path / "pictures")
    assert the(rows, "1000092805")[1] == "1000092805.jpg"


def test_all_captions_of_a_token_line_are_text(sets: Any, tmp_path: Path) -> None:
    sets.tokens(tmp_path, 20)
    text = (tmp_path / "results_20130124.token").read_text()
    (tmp_path / "results_20130124.token").write_text(text.replace("seen 0 times", 'seen "0" times # 1'))
    rows, faults, _ = sets.read("img_cap", tmp_path)
    assert not faults
    assert json.dumps(rows[0].references[0]) == r'"A red thing, seen \"0\" times # 1 ."'


def test_a_byte_order_mark_changes_nothing(sets: Any, tmp_path: Path) -> None:
    sets.audiocaps(tmp_path)
    rows = sets.read("aud_cap", tmp_path)[0]
    for path in tmp_path.glob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert sets.read("aud_cap", tmp_path)[0] == rows
