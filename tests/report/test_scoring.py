"""How scores were made, what they consist of, and what was scored outside the sequence."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from micl_cli.records import RoutingRecord, ScoreRecord
from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable, differences_of
from micl_cli.report.render import FORMATS, render

POPE = ScoreRecord(after=0, task="general/pope", metric="yes_no", value=80.0, n=9)


@pytest.fixture
def published(learnt: RunData) -> RunData:
    """The learnt run, whose last task is a published one with variants, categories and missing answers."""
    *others, answer, val = learnt.scores
    answer = replace(
        answer, version=2, prompts="published", scorer="strict", missing=3, figures={"2D": 90.5, "3D": 12.25}
    )
    return replace(learnt, scores=[*others, answer, val])


@pytest.fixture
def elsewhere(learnt: RunData) -> RunData:
    """The learnt run, scored on a task outside its sequence before and after learning."""
    scores = [POPE, replace(POPE, after=2, value=61.5), replace(POPE, after=2, metric="f1", value=70.0, main=False)]
    return replace(learnt, scores=[*learnt.scores, *scores])


def rows(run: RunData) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render([run], "csv"))))


def test_variants_versions_and_missing_answers_are_shown(published: RunData) -> None:
    text = render([published], "text", width=100)
    (line,) = [line for line in text.splitlines() if "strict" in line]
    assert line.split() == ["aud_qa", "accuracy", "2", "published", "strict", "3"]
    for row in ("accuracy: 2D,90.5", "prompts,published", "scorer,strict", "version,2", "missing_answers,3"):
        assert row in render([published], "csv")
    (last,) = [s for s in json.loads(render([published], "json"))["runs"][0]["scores"] if s["missing"]]
    assert (last["version"], last["prompts"], last["scorer"]) == (2, "published", "strict")


def test_categories_of_the_latest_score_are_shown(published: RunData) -> None:
    text = render([published], "text", width=100)
    table = text[text.index("Further figures of the latest scores") :].splitlines()[3:5]
    assert [line.split() for line in table] == [["aud_qa", "2D", "90.50"], ["aud_qa", "3D", "12.25"]]


def test_a_plain_run_has_neither_table(learnt: RunData) -> None:
    text = render([learnt], "text")
    assert "How the latest scores" not in text
    assert "Further figures" not in text
    assert "outside" not in text


@pytest.mark.parametrize("format", [each for each in FORMATS if each not in ("csv", "json")])
def test_tasks_outside_the_sequence_have_a_section(elsewhere: RunData, format: str) -> None:
    text = render([elsewhere], format, width=100)
    (line,) = [line for line in text.splitlines() if "pope" in line and "61.50" in line]
    assert "80.00" in line
    assert "-18.50" in line


def test_tasks_outside_the_sequence_in_data_formats(elsewhere: RunData) -> None:
    (found,) = json.loads(render([elsewhere], "json"))["runs"][0]["outside"]
    assert found["scores"] == [{"after": 0, "value": 80.0}, {"after": 2, "value": 61.5}]
    assert (found["task"], found["change"]) == ("general/pope", -18.5)
    of_pope = [
        (r["group"], r["stage"], r["quantity"], r["value"]) for r in rows(elsewhere) if r["task"] == "general/pope"
    ]
    assert of_pope == [
        ("score", "0", "yes_no", "80.0"),
        ("score", "2", "yes_no", "61.5"),
        ("score", "2", "f1", "70.0"),
        ("outside", "", "change of yes_no", "-18.5"),
    ]


def test_a_single_score_outside_the_sequence_has_no_change(learnt: RunData) -> None:
    (found,) = replace(learnt, scores=[*learnt.scores, POPE]).outside
    assert found.change is None


def test_scores_outside_the_sequence_do_not_make_runs_incomparable(elsewhere: RunData, learnt: RunData) -> None:
    other = replace(learnt, id="other")
    assert comparable(elsewhere, other)
    assert differences_of([elsewhere, other]) == []


@pytest.mark.parametrize("change", [{"version": 2}, {"prompts": "file"}, {"scorer": "strict"}])
def test_runs_scored_by_other_rules_are_not_compared(learnt: RunData, change: dict[str, object]) -> None:
    other = replace(learnt, id="other", scores=[replace(score, **change) for score in learnt.scores])  # type: ignore[arg-type]
    assert not comparable(learnt, other)
    assert {each.name for each in differences_of([learnt, other]) if not each.comparable} == {
        "scored.mini/img_cap",
        "scored.mini/aud_qa",
    }


def test_scores_without_a_version_were_made_by_the_first(learnt: RunData) -> None:
    other = replace(learnt, id="other", scores=[replace(score, version=1) for score in learnt.scores])
    assert comparable(learnt, other)


def test_figures_are_not_computed_from_scores_of_different_rules(learnt: RunData) -> None:
    scores = [replace(s, version=2) if (s.after, s.metric) == (2, "cider") else s for s in learnt.scores]
    mixed = replace(learnt, scores=scores)
    assert set(mixed.metrics.values()) == {None}
    text = " ".join(render([mixed], "text").split())
    assert "Scores of mini/img_cap were made by different rules (cider after stage 0, 1; cider version 2" in text
    assert f"micl eval {mixed.id} --stage 0..last" in text
    assert learnt.metrics["mfn"] is not None


def test_examples_of_tasks_outside_the_sequence_do_not_count_as_wrongly_routed(learnt: RunData) -> None:
    right = RoutingRecord(
        after=2, task="mini/img_cap", router="ridge", n=4, chosen={"mini/img_cap": 4}, unsure=0, seconds=1.0
    )
    routed = replace(learnt, routings=[right, replace(right, task="general/pope", n=9, chosen={"mini/img_cap": 9})])
    assert routed.routing is not None
    assert routed.routing.accuracy == 100.0
    assert set(routed.routing.confusion) == {"mini/img_cap"}
