"""What runs differ in, and what follows from it: runs that are not comparable are neither paired nor averaged."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from micl_cli.records import ScoreRecord
from micl_cli.report.comparison import gap_to_oracle
from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable, differences_of
from micl_cli.report.groups import groups_of, paired_of
from micl_cli.report.render import render

Pairs = Callable[..., list[RunData]]

SETTINGS = {
    "backbone.digest": "d" * 40,
    "training.epochs": "10",
    "training.max_steps": "40",
    "training.batch_size": "8",
    "training.accumulation": "1",
    "training.learning_rate": "0.001",
    "evaluation.examples": "null",
    "evaluation.batch_size": "32",
    "evaluation.max_new_tokens": "40",
    "evaluation.repetition_penalty": "1.0",
    "evaluation.length_penalty": "1.0",
    "evaluation.split": "test",
}
ENVIRONMENT = {"micl": "1.0", "precision": "fp32", "threads": "1", "device": "cpu"}

NOT_COMPARABLE: dict[str, dict[str, Any]] = {
    "backbone.digest": {"settings": {**SETTINGS, "backbone.digest": "e" * 40}},
    "training.epochs": {"settings": {**SETTINGS, "training.epochs": "20"}},
    "training.max_steps": {"settings": {**SETTINGS, "training.max_steps": "80"}},
    "training.examples_per_step": {"settings": {**SETTINGS, "training.accumulation": "2"}},
    "evaluation.examples": {"settings": {**SETTINGS, "evaluation.examples": "10"}},
    "evaluation.max_new_tokens": {"settings": {**SETTINGS, "evaluation.max_new_tokens": "5"}},
    "evaluation.repetition_penalty": {"settings": {**SETTINGS, "evaluation.repetition_penalty": "1.15"}},
    "evaluation.length_penalty": {"settings": {**SETTINGS, "evaluation.length_penalty": "0.0"}},
    "backbone": {"backbone": "composed:smol"},
    "split": {"split": "val"},
    "environment.micl": {"environment": {**ENVIRONMENT, "micl": "1.1"}},
    "environment.precision": {"environment": {**ENVIRONMENT, "precision": "bf16"}},
    "data.mini/img_cap": {"data": {"mini/img_cap": "f" * 64, "mini/aud_qa": "b" * 64}},
    "scored.mini/img_cap": {"scores": [ScoreRecord(after=2, task="mini/img_cap", metric="cider", value=60.0, n=10)]},
}
COMPARABLE: dict[str, dict[str, Any]] = {
    "environment.threads": {"environment": {**ENVIRONMENT, "threads": "8"}},
    "environment.device": {"environment": {**ENVIRONMENT, "device": "cuda"}},
    "training.learning_rate": {"settings": {**SETTINGS, "training.learning_rate": "0.01"}},
    "evaluation.batch_size": {"settings": {**SETTINGS, "evaluation.batch_size": "4"}},
}


@pytest.fixture
def pairs(plain: RunData) -> Pairs:
    """Two runs of one strategy and two of another, whose facts are changed by the arguments."""
    base = replace(
        plain,
        settings=SETTINGS,
        environment=ENVIRONMENT,
        data={"mini/img_cap": "a" * 64, "mini/aud_qa": "b" * 64},
        scores=[ScoreRecord(after=2, task="mini/img_cap", metric="cider", value=60.0, n=64)],
    )

    def make(**changed: Any) -> list[RunData]:
        first = [replace(base, id=f"f{seed}".ljust(12, "0"), seed=seed) for seed in (0, 1)]
        return [*first, *(replace(run, id=f"e{run.id[1:]}", strategy="ewc", **changed) for run in first)]

    return make


def test_equal_conditions_are_paired_and_there_is_nothing_to_show(pairs: Pairs) -> None:
    assert differences_of(pairs()) == []
    assert [pair.n for pair in paired_of(pairs())] == [2]
    assert "differ in" not in render(pairs(), "text")


@pytest.mark.parametrize("name", NOT_COMPARABLE)
def test_runs_that_are_not_comparable_are_shown_and_not_paired(name: str, pairs: Pairs) -> None:
    runs = pairs(**NOT_COMPARABLE[name])
    assert name in [each.name for each in differences_of(runs) if not each.comparable]
    assert not comparable(runs[0], runs[2])
    assert paired_of(runs) == []


@pytest.mark.parametrize("name", COMPARABLE)
def test_what_hardly_changes_scores_is_shown_and_paired(name: str, pairs: Pairs) -> None:
    runs = pairs(**COMPARABLE[name])
    (difference,) = differences_of(runs)
    assert (difference.name, difference.comparable) == (name, True)
    assert [pair.n for pair in paired_of(runs)] == [2]


@pytest.mark.parametrize("name", [name for name in NOT_COMPARABLE if name not in ("split", "scored.mini/img_cap")])
def test_runs_that_are_not_comparable_are_not_averaged(name: str, pairs: Pairs) -> None:
    first, second = pairs()[:2]
    groups = groups_of([first, replace(second, **NOT_COMPARABLE[name])])
    assert [group.n for group in groups if group.order] == [1, 1]


def test_other_batches_of_as_many_examples_a_step_are_comparable(pairs: Pairs) -> None:
    halves = {**SETTINGS, "training.batch_size": "4", "training.accumulation": "2"}
    assert [pair.n for pair in paired_of(pairs(settings=halves))] == [2]


def test_what_is_not_known_of_an_older_run_keeps_nothing_apart(pairs: Pairs) -> None:
    assert [pair.n for pair in paired_of(pairs(environment={}))] == [2]


def test_an_oracle_on_other_conditions_is_no_reference(pairs: Pairs) -> None:
    runs = pairs(environment={**ENVIRONMENT, "micl": "1.1"})
    assert gap_to_oracle(runs[0], runs) is None


@pytest.mark.parametrize("format", ["text", "md", "latex"])
def test_documents_show_the_values(format: str, pairs: Pairs) -> None:
    text = render(pairs(**COMPARABLE["environment.threads"]), format, width=120)
    assert "environment.threads" in text
    assert "1 (finetune f0000000, finetune f1000000); 8 (ewc e0000000, ewc e1000000)" in " ".join(text.split())


def test_json_and_csv_hold_the_values(pairs: Pairs) -> None:
    runs = pairs(**NOT_COMPARABLE["training.max_steps"])
    ids = [run.id for run in runs]
    assert json.loads(render(runs, "json"))["differences"] == [
        {
            "name": "training.max_steps",
            "comparable": False,
            "values": [{"value": "40", "runs": ids[:2]}, {"value": "80", "runs": ids[2:]}],
        }
    ]
    rows = [row for row in csv.DictReader(render(runs, "csv").splitlines()) if row["group"] == "not comparable"]
    assert [(row["run"], row["quantity"], row["value"]) for row in rows] == [
        (run, "training.max_steps", value) for run, value in zip(ids, ["40", "40", "80", "80"], strict=True)
    ]
