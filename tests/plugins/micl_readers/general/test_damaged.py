"""Items of any shape in the files of POPE and SEED-Bench, cells and lines of any text in those of MMBench and MME."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.api import Fault, ManifestError, Source, SourceRow
from micl_readers.general.reader import General

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
KEYS = (
    *("question_id", "image", "text", "label", "answer", "data_id", "data_type", "question", "question_type_id"),
    *("choice_a", "choice_b", "choice_c", "choice_d"),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "yes", "A", "image", "../a.jpg", "/a"]) | st.text(max_size=3),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(KEYS), each, max_size=6),
    max_leaves=6,
)  # fmt: skip
items = st.lists(values | st.dictionaries(st.sampled_from(KEYS), values, min_size=6), max_size=3)


def read(task: str, files: dict[str, Path], root: Path) -> list[SourceRow | Fault]:
    return list(General().rows(task, files, Source(root, root, root)))


@quick
@given(items)
def test_any_line_of_pope_is_a_row_or_a_fault(tmp_path: Path, lines: list[Any]) -> None:
    path = tmp_path / "pope.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read("pope", dict.fromkeys(("random", "popular", "adversarial"), path), tmp_path)
    assert len(found) == 3 * len(lines)


@quick
@given(items, st.dictionaries(st.text(max_size=3), values, max_size=3) | values)
def test_any_item_of_seed_is_a_row_a_fault_or_an_error(tmp_path: Path, questions: list[Any], types: Any) -> None:
    path = tmp_path / "SEED-Bench.json"
    path.write_text(json.dumps({"questions": questions, "question_type": types}))
    try:
        assert len(read("seed", {"test": path}, tmp_path)) <= len(questions)
    except ManifestError as error:
        assert "question_type is not" in error.message


@quick
@given(st.lists(st.lists(st.sampled_from(["", "1", "1000001", "A", "x", "²", "/9j/", "A\nB"]), min_size=9, max_size=9)))
def test_any_table_of_mmbench_is_rows_faults_or_an_error(tmp_path: Path, cells: list[list[str]]) -> None:
    path = tmp_path / "mmbench_dev_20230712.tsv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "question", "hint", "A", "B", "C", "answer", "category", "image"])
        writer.writerows(cells)
    try:
        assert len(read("mmbench", {"test": path}, tmp_path)) <= len(cells)
    except ManifestError as error:
        assert error.message.startswith("mmbench_dev_20230712.tsv:")


@quick
@given(st.text(alphabet="ab?\tYesNo \n\r", max_size=40))
def test_any_text_of_mme_is_two_rows_or_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "scene").mkdir(exist_ok=True)
    path = tmp_path / "scene" / "1.txt"
    path.write_text(text)
    found = read("mme", {"scene/1": path}, tmp_path)
    assert [isinstance(each, Fault) for each in found] in ([True], [False, False])
