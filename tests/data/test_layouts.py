"""Recognition of data sets."""

from __future__ import annotations

from pathlib import Path

from micl_cli.data.layouts import recognise


def test_a_well_known_data_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/captions_train2017.json").write_text("{}")
    assert recognise(tmp_path, {}) == "It looks like COCO 2017."


def test_the_marks_of_readers_come_first(tmp_path: Path) -> None:
    (tmp_path / "RS").mkdir()
    (tmp_path / "RS/train.json").write_text("[]")
    assert recognise(tmp_path, {"MLLM-CL": ("AD/*.json", "*/train.json")}) == "It looks like MLLM-CL."


def test_an_unknown_folder_is_not_named(tmp_path: Path) -> None:
    assert recognise(tmp_path, {"MLLM-CL": ("AD",)}) == ""
