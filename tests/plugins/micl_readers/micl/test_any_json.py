"""Whatever JSON stands in an annotation file, there are rows, faults or an error with its place, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_cli.api import Fault, ManifestError, Row, Source, SourceRow
from micl_readers.micl.reader import Micl

KEYS = (
    *("filename", "split", "sentences", "raw", "question_id", "image_id", "question", "answers", "answer"),
    *("raw_answer", "video_id", "caption", "sen_id", "id"),
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.sampled_from(["train", "1", ""])
)
VALUES = SCALARS | st.lists(SCALARS | st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=3), max_size=2)
LISTS = st.lists(SCALARS | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=9), max_size=3)
FILES = {
    "img_cap": {"dataset_flickr30k.json": ("images",)},
    "img_qa": {
        f"{name}.json": (key,)
        for part in ("train2014", "val2014")
        for key, name in (
            ("questions", f"OpenEnded_mscoco_{part}_questions"),
            ("annotations", f"mscoco_{part}_annotations"),
        )
    },
    "vid_cap": {f"{name}_videodatainfo.json": ("videos", "sentences") for name in ("train_val", "test")},
    "vid_qa": {f"{split}_qa.json": () for split in ("train", "val", "test")},
}


@pytest.mark.parametrize("task", FILES)
@given(data=st.data())
@settings(max_examples=15)
def test_there_are_rows_or_faults_or_an_error(
    task: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "youtube_mapping.txt").write_text("a vid1\n")
    for name, keys in FILES[task].items():
        content: Any = {key: data.draw(LISTS) for key in keys} if keys else data.draw(LISTS)
        (root / name).write_text(json.dumps(content))
    items = read(task, root)
    assert all(isinstance(item.row, Row) if isinstance(item, SourceRow) else item.reason for item in items)
    assert all(item.where.partition(":")[0] in FILES[task] for item in items)


def read(task: str, root: Path) -> list[SourceRow | Fault]:
    source = Source(root, root, root)
    try:
        return list(Micl().rows(task, Micl().locate(task, source), source))
    except ManifestError as error:
        assert error.message.partition(":")[0] in FILES[task]
        return []
