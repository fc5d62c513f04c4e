"""Nothing that is given twice, or to a run that exists, is ignored without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_lists_of_tasks_are_joined(learn: Any, micl: Any) -> None:
    words = ("--tasks", "own/img_cap", "--tasks", "own/aud_qa", "--dry-run", "--json")
    assert json.loads(learn(*words).out)["plan"]["tasks"] == ["own/img_cap", "own/aud_qa"]
    assert "is named twice" in learn("--tasks", "own/img_cap", "--tasks", "own/img_cap", "--dry-run").err


def test_tasks_to_score_are_joined(finished: str, micl: Any) -> None:
    words = ("eval", finished, "--tasks", "own/img_cap", "--tasks", "own/aud_qa", "--examples", "1", "--json")
    scored = [json.loads(line) for line in micl(*words).out.splitlines()]
    assert {event["task"] for event in scored if event["event"] == "scored"} == {"own/img_cap", "own/aud_qa"}


def test_lists_of_a_sweep_are_joined(home: Any, micl: Any) -> None:
    words = ("--strategy", "finetune", "--strategy", "lwf", "--seed", "0", "--seed", "1")
    done = micl("sweep", "--backbone", "toy", *words, "--tasks", "own/img_cap,own/aud_qa", "--dry-run", "--json")
    cells = json.loads(done.out)["cells"]
    assert [(cell["strategy"], cell["seed"]) for cell in cells] == [
        *(("finetune", 0), ("finetune", 1), ("lwf", 0), ("lwf", 1))
    ]


def test_of_other_options_the_last_value_counts_and_that_is_said(learn: Any) -> None:
    done = learn("--seed", "1", "--seed", "2", "--dry-run", "--json")
    assert json.loads(done.out)["plan"]["seed"] == 2
    assert "warning: --seed is given 2 times: only the last value counts" in done.err


def test_an_option_of_a_strategy_that_is_given_twice_is_said(learn: Any) -> None:
    words = (
        "--strategy",
        "moincl",
        "-o",
        "alpha",
        "0.3",
        "-o",
        "alpha",
        "0.4",
        "-o",
        "2:alpha",
        "0.5",
        "-o",
        "02:alpha",
        "0.6",
    )
    done = learn(*words, "--dry-run", "--json")
    plan = json.loads(done.out)["plan"]
    assert (plan["strategy_options"]["alpha"], plan["stage_options"]["2"]) == (0.4, {"alpha": 0.6})
    assert "-o alpha is given 2 times" in done.err and "-o 2:alpha is given 2 times" in done.err


def test_flags_may_be_repeated(micl: Any) -> None:
    assert micl("runs", "--json", "--json").err == ""


@pytest.mark.parametrize(
    "name", ["", " ", "@last", "@x", "0123456789ab", "a\x1b[2J", "a\nb", " a", "\u202ea", "a" * 256]
)
def test_names_that_mislead_are_refused(learn: Any, name: str) -> None:
    done = learn("--name", name)
    assert (done.code, "a run cannot have the name" in done.err) == (2, True)
    assert "\x1b" not in done.err


def test_a_name_for_a_finished_run_renames_it(learn: Any, micl: Any) -> None:
    run = learn("--name", "first").out.strip()
    again = learn("--name", "second")
    assert "the run was named 'first' and is 'second' now" in again.err
    assert micl("runs", "show", "second", "--json").code == 0
    assert "second" not in learn().err
    assert json.loads(micl("runs", "show", run, "--json").out)["name"] == "second"
    other = learn("--seed", "5", "--name", "second")
    assert f"{run} also has the name 'second'" in other.err


def test_answers_that_a_finished_run_did_not_store_are_said(learn: Any, micl: Any) -> None:
    run = learn("--predictions", "none").out.strip()
    again = learn("--save-predictions")
    assert "the answers after stage 1, 2 were not stored" in again.err
    assert f"micl eval {run} --stage 2 --predictions all" in again.err
    other = learn("--seed", "3", "--save-predictions").out.strip()
    assert other not in learn("--seed", "3", "--save-predictions").out.replace(other, "", 1)
    assert "were not stored" not in learn("--seed", "3", "--save-predictions").err


def test_an_exact_name_goes_before_the_prefix_of_an_id(learn: Any, micl: Any) -> None:
    run = learn().out.strip()
    named = learn("--seed", "1", "--name", run[:4]).out.strip()
    assert json.loads(micl("runs", "show", run[:4], "--json").out)["id"] == named
