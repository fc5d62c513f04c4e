"""Items of any shape in the files of CL-VISTA: a row or a fault, and never another error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.api import Fault, Source, SourceRow
from micl_readers.cl_vista import CLVista

KEYS = ("id", "video", "conversations", "from", "value", "question_id", "question", "answer", "video_name")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "human", "gpt", "<video>", "a.mp4", "../a.mp4", "/a", "."]) | st.text(max_size=3),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(KEYS), each, max_size=6),
    max_leaves=6,
)  # fmt: skip
items = st.lists(values | st.dictionaries(st.sampled_from(KEYS), values, min_size=3), max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(train=items, questions=items, answers=items)
def test_any_item_is_a_row_or_a_fault(
    tmp_path: Path, train: list[Any], questions: list[Any], answers: list[Any]
) -> None:
    written = {"train": train, "questions": questions, "answers": answers}
    files = {role: tmp_path / f"{role}.json" for role in written}
    for role, content in written.items():
        files[role].write_text(json.dumps(content))
    found = list(CLVista().rows("counting", files, Source(tmp_path, tmp_path, tmp_path)))
    assert all(isinstance(each, SourceRow | Fault) and each.where.partition(".")[0] in written for each in found)
    assert sum(isinstance(each, SourceRow) and each.row.split == "test" for each in found) <= len(questions)
