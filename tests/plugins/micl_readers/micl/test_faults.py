"""What is missing, doubled, renamed or of another data set is an error with file and line, or a counted skip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import ManifestError


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change the content of a JSON file."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, indent=1))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def only_fault(sets: Any, task: str, root: Path) -> str:
    """The place and the reason of the only fault."""
    _, (fault,), _ = sets.read(task, root)
    return f"{fault.where}: {fault.reason}"


# Single examples


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: image.update(split="restval"), "unknown split 'restval'"),
        (lambda image: image.pop("filename"), "the key 'filename' is missing"),
        (lambda image: image.pop("sentences"), "the key 'sentences' is missing"),
        (lambda image: image.update(sentences="text"), "sentences is not a list"),
        (lambda image: image["sentences"][2].pop("raw"), "the key 'raw' is missing"),
    ],
)
def test_faults_of_karpathys_file(sets: Any, tmp_path: Path, change: Any, reason: str) -> None:
    sets.flickr30k(tmp_path)
    edit(tmp_path / "dataset_flickr30k.json", lambda data: change(data["images"][3]))
    fault = only_fault(sets, "img_cap", tmp_path)
    assert fault.startswith("dataset_flickr30k.json:")
    assert reason in fault


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1000092796.jpg#1\t", "1000092796.jpg#1 ", ":7: it is not <file>#<number>, a tab and a caption"),
        ("1000092796.jpg#1", "1000092796.jpg#0", ":7: 1000092796.jpg#0 is also in results_20130124.token:6"),
        ("1000092796.jpg#1", "1000092796.jpg#x", ":7: it is not <file>#<number>"),
    ],
)
def test_faults_of_the_token_file(sets: Any, tmp_path: Path, old: str, new: str, reason: str) -> None:
    sets.tokens(tmp_path, 20)
    replace(tmp_path / "results_20130124.token", old, new)
    assert only_fault(sets, "img_cap", tmp_path).startswith(f"results_20130124.token{reason}")


def test_questions_without_annotations_and_the_reverse(sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path)
    edit(tmp_path / "mscoco_val2014_annotations.json", lambda data: data["annotations"].pop(0))
    edit(tmp_path / "OpenEnded_mscoco_val2014_questions.json", lambda data: data["questions"].pop(3))
    rows, faults, _ = sets.read("img_qa", tmp_path)
    assert [row.id for row in rows if row.split == "test"] == ["2971471", "2971472"]
    first, second = (f"{fault.where}: {fault.reason}" for fault in faults)
    assert first.startswith("OpenEnded_mscoco_val2014_questions.json:")
    assert "question 2971470 has no annotation in mscoco_val2014_annotations.json" in first
    assert second.startswith("mscoco_val2014_annotations.json:")
    assert "question 2971473 is missing in OpenEnded_mscoco_val2014_questions.json" in second


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda item: item.update(image_id=7), "is about image 7, but about 297147 in"),
        (lambda item: item.update(image_id="x"), "image_id 'x' is not a number"),
        (lambda item: item.update(answers=3), "answers is not a list"),
        (lambda item: item["answers"][0].pop("answer"), "the key 'answer' is missing"),
    ],
)
def test_faults_of_annotations(sets: Any, tmp_path: Path, change: Any, reason: str) -> None:
    sets.ok_vqa(tmp_path)
    edit(tmp_path / "mscoco_val2014_annotations.json", lambda data: change(data["annotations"][1]))
    assert reason in only_fault(sets, "img_qa", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (",-test_0aB,0,", ",-test_0aB,30,", "the rows of this clip have the start times 0, 30"),
        ("17,-test_0aB", ",-test_0aB", "audiocap_id or youtube_id is empty"),
        ("18,-test_0aB", "17,-test_0aB", "audiocap_id 17 is also in test.csv:2"),
    ],
)
def test_faults_of_audiocaps(sets: Any, tmp_path: Path, old: str, new: str, reason: str) -> None:
    sets.audiocaps(tmp_path)
    replace(tmp_path / "test.csv", old, new)
    _, faults, _ = sets.read("aud_cap", tmp_path)
    assert [fault.where.split(":")[0] for fault in faults] == ["test.csv"]
    assert reason in faults[0].reason


def test_faults_of_clotho_aqa(sets: Any, tmp_path: Path) -> None:
    sets.clotho_aqa(tmp_path)
    replace(tmp_path / "clotho_aqa_val.csv", "Is it number 1?,yes", "Is it number 1?,")
    rows, (fault,), notes = sets.read("aud_qa", tmp_path)
    assert (fault.where, fault.reason) == ("clotho_aqa_val.csv:5", "file_name, QuestionText or answer is empty")
    assert notes[:1] == ["val: 1 questions have another number of answers than 3"]
    assert sum(row.split == "val" for row in rows) == 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data["sentences"][0].update(video_id="video99"), "has no video 'video99' for sentence"),
        (lambda data: data["sentences"][0].update(sen_id=150), "sen_id 150 is also in test_videodatainfo.json:"),
        (lambda data: data["videos"][1].update(split="train"), "split 'train' is not one of test"),
        (lambda data: data["videos"][1].pop("video_id"), "the key 'video_id' is missing"),
        (lambda data: data["videos"].append({"video_id": "video9", "split": "test"}), "the video has no sentence"),
        (lambda data: data["videos"].append(dict(data["videos"][0])), "video_id video6 is also in"),
        (lambda data: data["sentences"].append(3), "it is not an object"),
    ],
)
def test_faults_of_msr_vtt(sets: Any, tmp_path: Path, change: Any, reason: str) -> None:
    sets.msr_vtt(tmp_path)
    sentences_of_refused_videos = 20
    edit(tmp_path / "test_videodatainfo.json", change)
    _, faults, _ = sets.read("vid_cap", tmp_path)
    assert 1 <= len(faults) <= 1 + sentences_of_refused_videos
    assert reason in faults[0].reason
    assert faults[0].where.startswith("test_videodatainfo.json:")


def test_a_video_without_a_mapping(sets: Any, tmp_path: Path) -> None:
    sets.msvd_qa(tmp_path)
    edit(tmp_path / "test_qa.json", lambda data: data[1].update(video_id=99))
    assert "youtube_mapping.txt has no line for video 99" in only_fault(sets, "vid_qa", tmp_path)


def test_an_empty_question(sets: Any, tmp_path: Path) -> None:
    sets.msvd_qa(tmp_path)
    edit(tmp_path / "test_qa.json", lambda data: data[1].update(question=" "))
    assert "the question is empty" in only_fault(sets, "vid_qa", tmp_path)


# Whole files and folders


@pytest.mark.parametrize(
    ("line", "message"),
    [("no number", "youtube_mapping.txt:5: it is not '<name> vid<number>'"), ("x vid1", "vid1 is mapped twice")],
)
def test_a_malformed_mapping_is_an_error(sets: Any, tmp_path: Path, line: str, message: str) -> None:
    sets.msvd_qa(tmp_path)
    with (tmp_path / "youtube_mapping.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ManifestError, match=message):
        sets.read("vid_qa", tmp_path)


def test_the_files_of_vqa_have_the_same_names_but_are_not_taken_for_ok_vqa(sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path)

    def as_vqa(data: Any) -> None:
        for annotation in data["annotations"]:
            for answer in annotation["answers"]:
                del answer["raw_answer"]

    edit(tmp_path / "mscoco_train2014_annotations.json", as_vqa)
    with pytest.raises(ManifestError, match=r"train2014_annotations.json:\d+: .* It looks like VQA v1") as refused:
        sets.read("img_qa", tmp_path)
    assert "OK-VQA" in refused.value.hint


def test_repeated_annotations_are_an_error(sets: Any, tmp_path: Path) -> None:
    sets.ok_vqa(tmp_path)
    edit(tmp_path / "mscoco_val2014_annotations.json", lambda data: data["annotations"].append(data["annotations"][0]))
    with pytest.raises(ManifestError, match=r"question 2971470 is also in mscoco_val2014_annotations\.json:"):
        sets.read("img_qa", tmp_path)


def test_another_table_of_the_same_name_is_named(sets: Any, tmp_path: Path) -> None:
    sets.audiocaps(tmp_path)
    sets.csv(tmp_path / "val.csv", ("uniq_id", "youtube_id", "start_time", "caption"), [(1, "a", 0, "rain")])
    with pytest.raises(ManifestError, match=r"val.csv:1: no column 'audiocap_id'"):
        sets.read("aud_cap", tmp_path)


def test_a_missing_file_is_named(sets: Any, tmp_path: Path) -> None:
    sets.msr_vtt(tmp_path)
    (tmp_path / "test_videodatainfo.json").unlink()
    with pytest.raises(ManifestError, match=r"has no test_videodatainfo\.json"):
        sets.read("vid_cap", tmp_path)


def test_arrays_of_pickles_are_not_read_but_explained(sets: Any, tmp_path: Path) -> None:
    (tmp_path / "dataset" / "flickr30k").mkdir(parents=True)
    (tmp_path / "dataset" / "flickr30k" / "train.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ManifestError, match=r"has no dataset_flickr30k\.json or results_20130124\.token") as refused:
        sets.read("img_cap", tmp_path)
    assert "The .npy files are pickles" in refused.value.hint
    assert "download dataset_flickr30k.json of Flickr30k" in refused.value.hint


def test_the_folder_of_another_of_the_six_is_recognised(sets: Any, tmp_path: Path) -> None:
    sets.clotho_aqa(tmp_path)
    with pytest.raises(ManifestError) as refused:
        sets.read("img_cap", tmp_path)
    assert refused.value.hint == "It looks like Clotho-AQA, which is micl/aud_qa."


def test_a_renamed_folder_is_named(sets: Any, tmp_path: Path) -> None:
    sets.msvd_qa(tmp_path / "my clips")
    with pytest.raises(ManifestError) as refused:
        sets.read("vid_qa", tmp_path)
    assert f"There is {tmp_path / 'my clips' / 'train_qa.json'}" in refused.value.hint


def test_a_name_of_another_case_is_named(sets: Any, tmp_path: Path) -> None:
    sets.flickr30k(tmp_path)
    (tmp_path / "dataset_flickr30k.json").rename(tmp_path / "Dataset_Flickr30k.json")
    with pytest.raises(ManifestError, match="has no") as refused:
        sets.read("img_cap", tmp_path)
    assert "Dataset_Flickr30k.json: rename it" in refused.value.hint


def test_a_missing_medium_is_where_it_should_be(sets: Any, tmp_path: Path) -> None:
    sets.all(tmp_path)
    (tmp_path / "dataset/flickr30k/flickr30k-images/1000092795.jpg").unlink()
    rows, _, _ = sets.read("img_cap", tmp_path)
    (path,) = (str(row.media[0].path) for row in rows if row.id == "train-1000092795")
    assert path == "dataset/flickr30k/flickr30k-images/1000092795.jpg"
