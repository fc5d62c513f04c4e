from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


def test_runs_are_listed(finished: str, micl: Any) -> None:
    code, out, _ = micl("runs")
    assert code == 0
    head, row = out.splitlines()
    assert head.split() == ["run", "status", "strategy", "backbone", "seed", "MFN", "BWT", "time", "started", "tasks"]
    assert row.split()[:5] == [finished, "finished", "moincl", "toy", "0"]
    assert row.split()[-1] == "own/img_cap,own/aud_qa"
    assert micl("runs", "ls", "--status", "failed") == (0, "", "no run matches; `micl runs` lists all\n")


def test_the_list_has_the_figures_of_the_report(finished: str, micl: Any) -> None:
    (run,) = json.loads(micl("runs", "--json").out)["runs"]
    (reported,) = json.loads(micl("report", finished, "--json").out)["runs"]
    assert (run["mfn"], run["bwt"]) == (reported["metrics"]["mfn"], reported["metrics"]["bwt"])
    cost = reported["cost"]["total"] if "total" in reported["cost"] else reported["cost"]
    assert run["seconds"] == pytest.approx(cost["before_seconds"] + cost["seconds"] + cost["after_seconds"])
    row = micl("runs").out.splitlines()[1].split()
    assert [text.rstrip("*") for text in row[5:7]] == [f"{run['mfn']:.2f}", f"{run['bwt']:.2f}"]


def test_means_over_different_scales_are_marked_and_explained(finished: str, micl: Any) -> None:
    _, out, err = micl("runs")
    assert [text[-1] for text in out.splitlines()[1].split()[5:7]] == ["*", "*"]
    assert err.startswith("* mixes scales (cider 0..1000, accuracy 0..100): compare")
    (run,) = json.loads(micl("runs", "--json").out)["runs"]
    assert run["mixed_scales"] == "mixes scales (cider 0..1000, accuracy 0..100)"
    assert isinstance(run["mfn"], float)


def test_means_over_one_scale_are_not_marked(learn: Any, micl: Any) -> None:
    assert learn("--tasks", "own/aud_qa,own/img_qa").code == 0
    _, out, err = micl("runs")
    assert ("*" in out, "scales" in err) == (False, False)
    (run,) = json.loads(micl("runs", "--json").out)["runs"]
    assert run["mixed_scales"] == ""


@pytest.fixture
def many(home: Path, isolated: Path) -> None:
    """Runs of three strategies with scores, started one day, two days and a year ago, and one that has none."""
    from datetime import datetime, timedelta, timezone

    from micl_cli.api.events import Scored, TaskLearned
    from micl_cli.plan import Plan
    from micl_cli.session import Request, Session
    from micl_cli.settings import load_settings
    from micl_cli.store import NewRun

    session = Session(load_settings())
    tasks = session.tasks.open_tasks(["own/img_cap", "own/aud_qa"])
    with session.store() as store:
        for strategy, name, score, days in (
            ("finetune", "a", 50.0, 1), ("ewc", "b", 70.0, 2), ("joint", "c", 60.0, 365), ("lwf", "", None, 0),
        ):  # fmt: skip
            chosen = tasks[:1] if strategy == "ewc" else tasks
            request = Request(strategy=strategy, backbone="toy", tasks=tuple(task.name for task in chosen), name=name)
            plan: Plan = session.plan(request, chosen)
            store.start_run(NewRun(id=plan.id, plan=plan.as_json(), name=name))
            started = (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
            with store.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE runs SET started = ? WHERE id = ?", (started, plan.id))
            if score is None:
                continue
            for position, task in enumerate(chosen, 1):
                learned = TaskLearned(
                    position=position, tasks=[task.name], data_sha256=[task.sha256], steps=1, examples=1,
                    seconds=score, peak_bytes=1, trainable_parameters=1, stored_bytes=1, checkpoint="stages/01",
                )  # fmt: skip
                scores = [
                    Scored(after=position, task=t.name, metric=t.metric, value=score, n=1) for t in chosen[:position]
                ]
                store.write(plan.id, [learned, *scores])
            store.end_run(plan.id, "finished")


def listed(micl: Any, *words: str) -> list[str]:
    return [run["strategy"] for run in json.loads(micl("runs", *words, "--json").out)["runs"]]


@pytest.mark.usefixtures("many")
def test_runs_are_filtered(micl: Any) -> None:
    assert listed(micl, "--strategy", "ewc,joint") == ["joint", "ewc"]
    assert listed(micl, "--task", "aud_qa") == ["lwf", "joint", "finetune"]
    assert listed(micl, "--task", "own/aud_qa", "--status", "finished") == ["joint", "finetune"]
    assert listed(micl, "--task", "own") == ["lwf", "joint", "ewc", "finetune"]
    assert listed(micl, "--since", "36h") == ["lwf", "finetune"]
    assert listed(micl, "--since", "1w") == ["lwf", "ewc", "finetune"]
    assert listed(micl, "--since", "2001-02-03", "--limit", "2") == ["lwf", "joint"]
    assert micl("runs", "--task", "nothing").err == "no run matches; `micl runs` lists all\n"


@pytest.mark.usefixtures("many")
def test_runs_are_sorted_and_those_without_a_value_are_last(micl: Any) -> None:
    assert listed(micl, "--sort", "mfn") == ["ewc", "joint", "finetune", "lwf"]
    assert listed(micl, "--sort", "mfn", "--reverse") == ["finetune", "joint", "ewc", "lwf"]
    assert listed(micl, "--sort", "time") == ["joint", "finetune", "ewc", "lwf"]
    assert listed(micl, "--sort", "strategy") == ["ewc", "finetune", "joint", "lwf"]
    assert listed(micl, "--sort", "name") == ["finetune", "ewc", "joint", "lwf"]
    assert listed(micl, "--reverse") == ["finetune", "ewc", "joint", "lwf"]
    assert micl("runs", "--sort", "mfn").out.splitlines()[-1].split()[1:3] == ["interrupted", "lwf"]


@pytest.mark.parametrize("text", ["soon", "7", "7y", "2026-13-01", "-3d", "999999w"])
def test_what_is_not_a_time_is_refused(micl: Any, text: str) -> None:
    code, out, err = micl("runs", f"--since={text}")
    assert (code, out) == (2, "")
    assert f"--since {text!r} is not a time" in err
    assert "2026-03-01" in err


def test_a_damaged_run_is_listed_without_figures(finished: str, micl: Any, isolated: Path) -> None:
    with closing(sqlite3.connect(isolated / "micl.db")) as connection:
        connection.execute("UPDATE stages SET steps = 'many'")
        connection.commit()
    (run,) = json.loads(micl("runs", "--sort", "mfn", "--json").out)["runs"]
    assert (run["id"], run["mfn"], run["seconds"]) == (finished, None, None)
    assert micl("runs").code == 0


def test_a_run_is_renamed(finished: str, micl: Any) -> None:
    assert micl("runs", "rename", "@last", "my run").err == f"{finished} is named 'my run'\n"
    assert json.loads(micl("runs", "show", "my run", "--json").out)["plan"]["name"] == "my run"
    assert micl("runs", "rename", "my run", "").err == f"{finished} has no name\n"
    for name in ("@last", "0" * 12, " x", "a\x07b"):
        assert micl("runs", "rename", finished, name).code == 2


def test_a_name_of_another_run_is_noted(finished: str, micl: Any) -> None:
    other = micl("learn", "--after", finished, "--tasks", "own/img_qa", "--name", "twin").out.strip()
    assert f"note: {other} also has this name" in micl("runs", "rename", finished, "twin").err


def test_runs_are_tagged_and_found_by_tag(finished: str, micl: Any) -> None:
    assert micl("runs", "tag", "@last", "paper", "old").err == f"{finished} has the tags old, paper\n"
    assert micl("runs", "tag", "@last", "old", "--remove").err == f"{finished} has the tags paper\n"
    assert listed(micl, "--tag", "paper") == ["moincl"]
    assert listed(micl, "--tag", "old") == []
    assert micl("runs").out.splitlines()[0].split()[-2:] == ["tags", "tasks"]
    assert json.loads(micl("runs", "show", finished, "--json").out)["tags"] == ["paper"]
    assert micl("learn", "--resume", finished).out.strip() == finished
    assert listed(micl, "--tag", "paper") == ["moincl"]


@pytest.mark.parametrize("tag", ["", "two words", "a,b", "a\x1bb", "x" * 256])
def test_what_cannot_be_a_tag_is_refused(finished: str, micl: Any, tag: str) -> None:
    code, _, err = micl("runs", "tag", finished, tag)
    assert (code, "a run cannot have the tag" in err) == (2, True)


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
    assert "with precision" in text
    assert "fp32" in text.split("with precision", 1)[1].splitlines()[0]
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
