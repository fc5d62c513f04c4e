from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_runs_are_listed(finished: str, micl: Any) -> None:
    code, out, err = micl("runs")
    assert (code, err) == (0, "")
    head, row = out.splitlines()
    assert head.split() == ["run", "status", "strategy", "backbone", "seed", "tasks", "started", "name"]
    assert row.split()[:6] == [finished, "finished", "moincl", "toy", "0", "own/img_cap,own/aud_qa"]
    assert micl("runs", "ls", "--status", "failed").out == ""


def test_runs_are_listed_for_programs(finished: str, micl: Any) -> None:
    (run,) = json.loads(micl("runs", "ls", "--json").out)["runs"]
    known = {"id": finished, "status": "finished", "parent": None, "seed": 0, "error": ""}
    assert {key: run[key] for key in known} == known
    assert json.loads(micl("runs", "--json", "--limit", "1", "--status", "running").out) == {"runs": []}


def test_no_runs_yet(micl: Any, isolated: Path) -> None:
    code, out, err = micl("runs")
    assert (code, out) == (0, "")
    assert "no runs yet; start one: micl learn" in err
    assert not isolated.exists()


def test_a_run_is_shown_whole(finished: str, micl: Any, isolated: Path) -> None:
    shown = json.loads(micl("runs", "show", finished[:5], "--json").out)
    assert shown["folder"] == str(isolated / "runs" / finished)
    assert shown["plan"]["strategy_options"]["alpha"] == 0.5
    assert {"micl", "torch", "python", "device", "threads"} <= shown["environment"].keys()
    assert [(p["kind"], p["name"], p["distribution"]) for p in shown["plugins"]] == [
        ("backbones", "toy", "micl-toy"),
        ("strategies", "moincl", "micl-cli"),
    ]
    assert [(s["position"], s["status"], s["steps"]) for s in shown["stages"]] == [(1, "learned", 4), (2, "learned", 4)]
    text = micl("runs", "show", "@last").out
    for words in ("strategy_options", "alpha=0.5", "stages/02", "with torch", str(isolated / "runs" / finished)):
        assert words in text


def test_runs_are_removed(finished: str, micl: Any, isolated: Path) -> None:
    child = micl("learn", "--after", finished, "--tasks", "own/img_qa").out.strip()
    done = micl("runs", "rm", finished, "--yes")
    assert (done.code, done.out) == (1, "")
    assert "other runs continue it" in done.err
    assert (isolated / "runs" / finished / "stages").exists()
    done = micl("runs", "rm", child, child[:8], "--yes")
    assert (done.code, done.err) == (0, f"removed {child}\n")
    assert not (isolated / "runs" / child).exists()
    assert micl("runs", "rm", finished, "--yes").code == 0
    assert json.loads(micl("runs", "--json").out) == {"runs": []}


def test_a_parent_is_removed_by_force_and_its_heir_stays_whole(finished: str, micl: Any) -> None:
    child = micl("learn", "--after", finished, "--tasks", "own/img_qa").out.strip()
    assert micl("runs", "rm", finished, "--yes", "--force").code == 0
    assert micl("eval", child, "--stage", "1").code == 0
    assert micl("learn", "--resume", child).out.strip() == child


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("", 1)])
def test_nothing_is_removed_without_a_yes(
    finished: str, micl: Any, isolated: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    done = micl("runs", "rm", finished)
    assert (done.code, done.out) == (code, "")
    assert (isolated / "runs" / finished / "stages" / "02").exists()


def test_the_store_of_a_configuration_file_is_used(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text(f'store = "sqlite:///{tmp_path}/mine.db"\n[learn]\nstrategy = "joint"\n')
    assert micl("runs").code == 0
    assert micl("store", "path").out == f"{tmp_path}/mine.db\n"
