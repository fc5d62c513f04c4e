"""What a report says of the provenance and the validations of a run."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from micl_cli.records import EnvironmentRecord, ValidationRecord
from micl_cli.report.data import RunData, merged_environment
from micl_cli.report.provenance import provenance, validations
from micl_cli.report.render import FORMATS, render

ENVIRONMENT = {
    "micl": "1.0",
    "commit": "8fa1c59d0eb5+changes",
    "code": "a7078ecf6d83",
    "python": "3.11.4",
    "torch": "2.13.0",
    "plugin.micl-x": "0.3",
    "cpu": "Abacus 9",
    "cores": 8,
    "device": "cpu",
    "precision": "no",
    "threads": 1,
    "weights_bytes": 500,
}


@pytest.fixture
def traced(learnt: RunData) -> RunData:
    """A run that went on with two threads, and was scored again by other code."""
    environments = [
        EnvironmentRecord(environment=ENVIRONMENT),
        EnvironmentRecord(position=2, step=30, environment={**ENVIRONMENT, "threads": 2}),
        EnvironmentRecord(purpose="scoring", position=1, environment={**ENVIRONMENT, "code": "0123456789ab"}),
    ]
    curve = [
        (1, 10, 50.0, True, False),
        (1, 20, 60.0, True, False),
        (1, 30, 55.0, False, False),
        (1, 30, 58.0, False, True),
    ]
    return replace(
        learnt,
        environment=merged_environment([each.environment for each in environments]),
        environments=environments,
        validations=[
            *(ValidationRecord(position=p, step=s, epoch=1, value=v, best=b, final=f) for p, s, v, b, f in curve),
            ValidationRecord(position=2, step=10, epoch=1, value=0.25, best=True, criterion="loss"),
        ],
        data={"mini/img_cap": "d" * 64, "mini/aud_qa": "e" * 64},
        settings={"backbone.digest": "f" * 40},
        recipe={"name": "fast", "sha256": "ab" * 32, "citation": "Ada (2026)"},
    )


def test_code_machine_versions_and_data_are_shown(traced: RunData) -> None:
    rows = dict(provenance(traced).rows)
    assert rows["code"] == "micl 1.0, commit 8fa1c59d0eb5+changes, code a7078ecf6d83"
    assert rows["computed on"] == "device cpu, precision fp32, threads 1, cores 8, cpu Abacus 9"
    assert rows["versions"] == "python 3.11.4, torch 2.13.0, plugin.micl-x 0.3"
    assert rows["backbone"] == "f" * 12
    assert rows["data"] == f"mini/img_cap {'d' * 12}, mini/aud_qa {'e' * 12}"
    assert rows["recipe"] == "name fast, sha256 abababababab, citation Ada (2026)"


def test_what_changed_on_the_way_is_shown_with_its_stage(traced: RunData) -> None:
    rows = dict(provenance(traced).rows)
    assert rows["from stage 2, step 30 on"] == "threads 2 (before: 1)"
    assert rows["scored again from stage 1 on"] == "code 0123456789ab (before: a7078ecf6d83), threads 1 (before: 2)"
    assert (traced.environment["threads"], traced.environment["code"]) == (
        "1, then 2",
        "a7078ecf6d83, then 0123456789ab",
    )


def test_code_that_was_not_recorded_is_unknown(traced: RunData) -> None:
    old = {"micl": "0.9", "threads": 1}
    run = replace(traced, environments=[EnvironmentRecord(environment=old)], environment=merged_environment([old]))
    assert dict(provenance(run).rows)["code"] == "micl 0.9, code unknown"
    assert merged_environment([old, ENVIRONMENT])["code"] == "unknown, then a7078ecf6d83"


def test_validations_are_summed_up_by_stage(traced: RunData) -> None:
    assert validations(traced).rows == [
        ("1 img_cap", "4", "score", "20", "60.00", "58.00"),
        ("2 aud_qa", "1", "loss", "10", "0.25", "-"),
    ]


def test_the_curve_is_in_json_and_csv(traced: RunData) -> None:
    (run,) = json.loads(render([traced], "json"))["runs"]
    assert [(each["step"], each["value"]) for each in run["validations"]][:3] == [(10, 50.0), (20, 60.0), (30, 55.0)]
    assert [each["step"] for each in run["environments"]] == [0, 30, 0]
    rows = [row for row in csv.DictReader(render([traced], "csv").splitlines()) if row["group"] == "validation"]
    assert [(row["stage"], row["quantity"], row["value"]) for row in rows[-2:]] == [
        ("1", "score at step 30 (final)", "58.0"),
        ("2", "loss at step 10", "0.25"),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_values_are_escaped(format: str, traced: RunData) -> None:
    hostile = {**ENVIRONMENT, "cpu": "=cmd()|\x1b[31m\u202e<b>", "\x1b]0;x\x07": "\\end{tabular}", "commit": "\x1b[2J"}
    environments = [EnvironmentRecord(environment=ENVIRONMENT), EnvironmentRecord(position=2, environment=hostile)]
    recipe = {"name": "\x1b[31m", "citation": "\u202e"}
    text = render(
        [replace(traced, environments=environments, environment=merged_environment([hostile]), recipe=recipe), traced],
        format,
    )
    assert "\x1b" not in text and "\u202e" not in text and "\x07" not in text
