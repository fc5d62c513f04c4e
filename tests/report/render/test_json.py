"""Reports as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from micl_cli.report.data import RunData
from micl_cli.report.render import render


def test_the_agreed_fields(learnt: RunData) -> None:
    (run,) = json.loads(render([learnt], "json"))["runs"]
    agreed = ("id", "name", "strategy", "backbone", "seed", "tasks", "matrix", "metrics", "cost")
    assert {name: run[name] for name in agreed} == {
        "id": "3f2a91c04d1e",
        "name": "demo",
        "strategy": "moincl",
        "backbone": "composed:tiny",
        "seed": 0,
        "tasks": ["mini/img_cap", "mini/aud_qa"],
        "matrix": [[512.5, None], [480.0, 88.25]],
        "metrics": {
            "mft": (512.5 + 88.25) / 2,
            "mfn": (480.0 + 88.25) / 2,
            "maa": (512.5 + (480.0 + 88.25) / 2) / 2,
            "bwt": -32.5,
            "forgetting": 32.5,
            "peak_forgetting": 32.5,
            "fwt": None,
        },
        "cost": {
            "before_seconds": 0.0,
            "seconds": 27.75,
            "after_seconds": 0.0,
            "peak_bytes": 1_240_000_000,
            "trainable_parameters": 41_472,
            "stored_bytes": 803_000,
        },
    }


def test_added_fields(learnt: RunData) -> None:
    (run,) = json.loads(render([learnt], "json"))["runs"]
    assert run["status"] == "finished"
    assert run["split"] == "test"
    assert run["zero_shot"] == [2.5, None]
    assert run["stages"][1]["tasks"] == ["mini/aud_qa"]
    assert run["stages"][1]["peak_bytes"] == 1_240_000_000
    assert (run["stages"][1]["before_seconds"], run["stages"][1]["after_seconds"]) == (0.0, 0.0)
    assert [score["metric"] for score in run["scores"] if not score["main"]] == ["bleu4", "bleu4"]
    assert run["extra"] == {"routing accuracy": 99.5}


def test_unmeasured_scores_are_null(plain: RunData) -> None:
    (run,) = json.loads(render([replace(plain, matrix=[[500.0]])], "json"))["runs"]
    assert run["matrix"] == [[500.0, None], [None, None]]
    assert set(run["metrics"].values()) == {None}
    assert run["zero_shot"] is None


def test_numbers_that_are_not_finite_are_null(plain: RunData) -> None:
    run = replace(plain, matrix=[[float("nan")], [1.0, float("inf")]], extra={"x": float("-inf")})
    (shown,) = json.loads(render([run], "json"), parse_constant=lambda name: 1 / 0)["runs"]
    assert shown["matrix"] == [[None, None], [1.0, None]]
    assert shown["extra"] == {"x": None}


def test_the_document_is_plain_ascii_and_gives_names_back(nasty: RunData) -> None:
    shown = render([nasty], "json")
    assert shown.isascii()
    assert all(c == "\n" or c.isprintable() for c in shown)
    assert json.loads(shown)["runs"][0]["name"] == nasty.name


def test_no_runs() -> None:
    assert json.loads(render([], "json")) == {"runs": []}
