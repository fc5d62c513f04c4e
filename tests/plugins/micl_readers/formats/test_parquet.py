"""Parquet, and data sets of the `datasets` library: media as bytes, names of classes, splits, a missing extra."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pyarrow = pytest.importorskip("pyarrow")


def png(data_folder: Any, number: int) -> bytes:
    data_folder.pictures(*(f"p{n}.png" for n in range(number + 1)))
    return bytes((data_folder.root / f"p{number}.png").read_bytes())


def test_bytes_become_files_and_numbers_become_classes(data_folder: Any, rows_of: Any, isolated: Path) -> None:
    import pyarrow.parquet as pq

    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    images = [{"bytes": png(data_folder, n), "path": f"{n}.jpg"} for n in range(4)]
    table = pyarrow.table({"image": images, "label": [0, 1, 1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, data_folder.write("x/train-00000-of-00001.parquet", b""))
    pq.write_table(table.slice(2), data_folder.write("x/test-00000-of-00001.parquet", b""))
    rows = rows_of("--from", data_folder.root / "x", "--prompt", "What?")
    assert [(row["id"], row["references"]) for row in rows] == [
        ("1", ["dog"]),
        ("2", ["cat"]),
        ("train-1", ["cat"]),
        ("train-2", ["dog"]),
        ("train-3", ["dog"]),
        ("train-4", ["cat"]),
    ]
    assert (isolated / "tasks/own/x" / rows[2]["image"]).read_bytes() == images[0]["bytes"]


def test_a_damaged_file_is_named(data_folder: Any, micl: Any) -> None:
    path = data_folder.write("x.parquet", b"PAR1 and then nothing")
    failed = micl("prepare", "--from", path, "--as", "x", "--split", "50/50")
    assert failed.code == 4
    assert "x.parquet: cannot be read as Parquet" in failed.err


@pytest.mark.parametrize("module", ["pyarrow", "datasets"])
def test_a_missing_extra_names_its_installation(
    data_folder: Any, micl: Any, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = data_folder.write("x.parquet" if module == "pyarrow" else "x/state.json", "{}")
    given = path if module == "pyarrow" else path.parent
    failed = micl("prepare", "--from", given, "--as", "x", "--split", "50/50")
    assert failed.code == 4
    assert 'pip install "micl-cli[datasets]"' in failed.err


def saved(data_folder: Any, folder: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), "q": datasets.Value("string")}
    )
    columns = {
        "image": [{"bytes": png(data_folder, n), "path": None} for n in range(3)],
        "label": [0, 1, 0],
        "q": ["?"] * 3,
    }
    dataset = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": dataset, "testmini": dataset.select([1])}).save_to_disk(str(folder))
    return folder


def test_a_data_set_that_the_library_saved(data_folder: Any, rows_of: Any, tmp_path: Path) -> None:
    folder = saved(data_folder, tmp_path / "saved")
    rows = rows_of("--from", folder, "--column", "prompt=q", "--split", "testmini=test")
    assert [(row["id"], row["references"]) for row in rows] == [
        ("train-1", ["cat"]),
        ("train-2", ["dog"]),
        ("train-3", ["cat"]),
        ("1", ["dog"]),
    ]


def test_a_folder_that_the_library_reads(data_folder: Any, rows_of: Any, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    for split in ("train", "test"):
        data_folder.write(f"{split}.jsonl", [{"question": f"{split}?", "answer": "x"}])
    rows = rows_of("--from", data_folder.root, "--format", "datasets")
    assert sorted(row["id"] for row in rows) == ["1", "train-1"]


def test_a_data_set_of_the_hub_is_pinned(
    data_folder: Any, rows_of: Any, monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    import huggingface_hub

    class Info:
        sha = "c0ffee"

    from datasets.packaged_modules.parquet.parquet import Parquet

    class Builder(Parquet):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def as_streaming_dataset(self) -> Any:
            rows = [{"question": f"{n}?", "answer": "x"} for n in range(4)]
            return datasets.IterableDatasetDict({"train": datasets.Dataset.from_list(rows).to_iterable_dataset()})

    asked: list[Any] = []
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, revision=None: Info())
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *a, **k: asked.append((a, k)) or Builder())
    rows = rows_of("--from", "someone/things", "--format", "datasets", "-o", "config", "small", "--split", "50/50")
    assert len(rows) == 4
    assert asked == [(("someone/things", "small"), {"revision": "c0ffee"})]
    record = json.loads((isolated / "tasks/own/x/prepared.json").read_text())
    assert ["-o", "revision", "c0ffee"] in [record["source"]["arguments"][n : n + 3] for n in range(20)]


def test_the_hub_without_a_network(micl: Any) -> None:
    pytest.importorskip("datasets")
    failed = micl("prepare", "--from", "someone/things", "--format", "datasets", "--as", "x", "--split", "50/50")
    assert failed.code == 4
    assert "data set of the hub someone/things cannot be opened" in failed.err


def test_only_builders_that_read_no_pickle_are_used(data_folder: Any, micl: Any) -> None:
    pytest.importorskip("datasets")
    data_folder.write("train.xml", "<a/>")
    failed = micl("prepare", "--from", data_folder.root, "--format", "datasets", "--as", "x", "--split", "50/50")
    assert failed.code == 4
    assert "its files are read by the builder 'xml'" in failed.err
