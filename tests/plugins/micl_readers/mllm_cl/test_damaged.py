"""Items of any shape in the files of any task: a row or a fault, and never another error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.api import Example, ExampleMetric, Fault, Prediction, Reader, Source, SourceRow
from micl_metrics.suites.mllm_rules import AppRules, MathRules
from micl_readers.mllm_cl import Domain
from micl_readers.mllm_cl_ability import MATHVISTA, MMT_BENCH, Ability

TASKS = [(reader, task) for reader in (Domain, Ability) for task in reader.tasks]
KEYS = (
    *("id", "image", "conversations", "from", "value", "question_id", "text", "answer", "answer_type", "type", "task"),
    *("choices", "precision", "metadata", "category", "A", "B"),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "human", "gpt", "<image>", "yes", "a.png", "Doc-oriented VQA"]) | st.text(max_size=3),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(KEYS), each, max_size=6),
    max_leaves=6,
)  # fmt: skip
questions = st.fixed_dictionaries(
    {"question_id": st.integers(), "text": st.just("?"), "answer": values, "image": st.just("MapQA_1.png")},
    optional={key: values for key in KEYS if key not in ("question_id", "text", "answer", "image")},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("RS", "Med", "AD", "Sci", "Fin", "OCR", "Math", "VP", "APP"):
        for half in (folder, f"{folder}_test"):
            (tmp_path / half / "images").mkdir(parents=True)
    return tmp_path


def read(reader: type[Reader], task: str, root: Path, items: list[Any]) -> list[SourceRow | Fault]:
    files = {split: root / f"{split}.json" for split in ("train", "test")}
    for path in files.values():
        path.write_text(json.dumps(items))
    return list(reader().rows(task, files, Source(root, root, root)))


@pytest.mark.parametrize(("reader", "task"), TASKS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(items=st.lists(values | questions, max_size=3))
def test_any_item_is_a_row_or_a_fault(reader: type[Reader], task: str, root: Path, items: list[Any]) -> None:
    found = read(reader, task, root, items)
    assert all(each.where.startswith(("train.json:1", "test.json:1")) for each in found)


@pytest.mark.parametrize(("task", "form"), [("math", MATHVISTA), ("app", MMT_BENCH)])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(items=st.lists(questions, max_size=3), answer=st.text(max_size=5))
def test_any_question_can_be_scored_and_exported(
    task: str, form: str, root: Path, items: list[Any], answer: str
) -> None:
    metric: ExampleMetric = MathRules() if task == "math" else AppRules()
    rows = [each.row for each in read(Ability, task, root, items) if isinstance(each, SourceRow)]
    examples = [Example(row.id, row.content, row.references, meta=row.meta) for row in rows if row.references]
    assert set(metric.score_examples([answer] * len(examples), examples).each) <= {0.0, 1.0}
    text = "".join(Ability().export(task, form, [Prediction(example, answer) for example in examples]))
    if form == MATHVISTA:
        assert all(problem["response"] == answer for problem in json.loads(text).values())
    else:
        assert text.startswith("index\tquestion")
