"""A run that is stopped in any way ends with the same result as one that is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from micl_cli.store import Store

SHOT = """
@hookimpl
def micl_event(run, event):
    if event.name != "{event}":
        return
    what = getattr(event, "step", "") or getattr(event, "task", "") or getattr(event, "when", "")
    name, _, wanted = os.environ.get("SHOT", "").partition(":")
    if wanted == f"{{getattr(event, 'position', 0)}}:{{what}}":
        del os.environ["SHOT"]
        os.kill(os.getpid(), getattr(signal, name))
"""
# Dropout, so that the generators' state counts too.
OWN = ("-b", "dropout", "0.2", "--max-steps", "6", "--save-seconds", "0")

TABLES = ("stages", "steps", "scores", "routings", "predictions", "validations")
FSYNC = """
flushed, flush = [], os.fsync

def counted(descriptor):
    flushed.append(descriptor)
    if len(flushed) == int(os.environ.get("FSYNC", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    flush(descriptor)

os.fsync = counted
"""
# So that there is something to do in their passes.
OPTIONS = {
    "moincl": ("-o", "pseudo_when", "type"),
    "router": ("-o", "router", "ridge"),
    "slm": ("-o", "key_steps", "20"),
}


VARYING = {"seconds", "before_seconds", "after_seconds", "peak_bytes", "started", "finished", "turn", "environment"}
"""Columns that differ between two undisturbed runs."""


def ending(home: Path, run: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """(sha256 of each stage's adapters, the rows of each table) of a run."""
    stages = sorted((home / "runs" / run / "stages").glob("*/adapters.safetensors"))
    rows = {}
    with sqlite3.connect(home / "micl.db") as store:
        for table, key in (("runs", "id"), *((name, "run") for name in TABLES)):
            found = store.execute(f"select * from {table} where {key} = ?", (run,))
            columns = [column[0] for column in found.description]
            rows[table] = sorted(
                repr({name: value for name, value in zip(columns, row, strict=True) if name not in VARYING})
                for row in found
            )
    return {path.parent.name: sha256(path.read_bytes()).hexdigest() for path in stages}, rows


@pytest.fixture
def whole(learn: Any, home: Path, tmp_path: Path) -> Any:
    """How a run ends that nobody stops; afterwards there is no trace of it."""

    def run(*words: str) -> tuple[str, Any]:
        shutil.copytree(home, tmp_path / "aside")
        done = learn(*words)
        assert done.code == 0, done.err
        name = done.out.strip()
        found = ending(home, name)
        shutil.rmtree(home)
        (tmp_path / "aside").rename(home)
        return name, found

    return run


def status(home: Path, run: str) -> str:
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        known = store.run(run)
        return known.status if known else ""


@pytest.mark.parametrize("strategy", ["finetune", "moincl"])
@pytest.mark.parametrize(("name", "resume"), [("SIGINT", False), ("SIGTERM", True)])
def test_a_signal_amid_a_task_changes_nothing_in_the_end(
    strategy: str, name: str, resume: bool, learn: Any, whole: Any, home: Path, listener: Any, monkeypatch: Any
) -> None:
    words = (*OWN, "--strategy", strategy)
    run, expected = whole(*words)
    listener(SHOT.format(event="step"))
    monkeypatch.setenv("SHOT", f"{name}:2:3")
    before = signal.getsignal(signal.SIGINT)
    stopped = learn(*words)
    assert (stopped.code, stopped.out) == (130, "")
    assert stopped.err.endswith(
        "stopping: saving what is learnt (press Ctrl-C again to end immediately)\n"
        "interrupted; what is learnt is saved\n"
        f"hint: Continue with the same command, or: micl learn --resume {run}\n"
    )
    assert status(home, run) == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before
    resumed = learn("--resume", run) if resume else learn(*words)
    assert (resumed.code, resumed.out.strip()) == (0, run)
    assert "1/2 own/img_cap: already learnt\n" in resumed.err
    assert "resuming at task 2, step 3\n" in resumed.err
    assert ending(home, run) == expected
    assert status(home, run) == "finished"


@pytest.mark.parametrize(("strategy", "when"), [("moincl", "before"), ("slm", "before"), ("router", "after")])
def test_a_signal_in_a_pass_over_data_changes_nothing_in_the_end(
    strategy: str, when: str, learn: Any, whole: Any, home: Path, listener: Any, monkeypatch: Any
) -> None:
    words = (*OWN, "--strategy", strategy, *OPTIONS[strategy])
    run, expected = whole(*words)
    listener(SHOT.format(event="pass_progress"))
    monkeypatch.setenv("SHOT", f"SIGTERM:2:{when}")
    assert learn(*words).code == 130
    assert (home / "runs" / run / "stages" / "01").exists()
    assert not (home / "runs" / run / "stages" / "02").exists()
    kept = {"before": [], "after": ["step-2-6", "step-2-6-after"]}[when]
    assert sorted(path.name for path in (home / "runs" / run).glob("step-*")) == kept
    assert learn(*words).out.strip() == run
    assert ending(home, run) == expected


def test_a_signal_while_answers_are_scored_changes_nothing_in_the_end(
    learn: Any, whole: Any, home: Path, listener: Any, monkeypatch: Any
) -> None:
    run, expected = whole(*OWN)
    listener(SHOT.format(event="scored"))
    monkeypatch.setenv("SHOT", "SIGINT:0:own/img_cap")  # a score has no position
    assert learn(*OWN).code == 130
    assert not (home / "runs" / run / "stages" / "02").exists()
    resumed = learn(*OWN)
    assert (resumed.code, resumed.out.strip()) == (0, run)
    assert ending(home, run) == expected


@pytest.mark.parametrize(
    ("strategy", "event", "shot"),
    [
        ("moincl", "step", "SIGKILL:2:4"),
        ("finetune", "step", "SIGKILL:2:1"),
        ("pathweave", "step", "SIGKILL:2:4"),
        ("slm", "step", "SIGKILL:2:4"),
        ("moincl", "task_learned", "SIGKILL:2:"),
        ("moincl", "pass_progress", "SIGKILL:2:before"),
        ("ewc", "pass_progress", "SIGKILL:1:after"),
        ("ewc", "pass_progress", "SIGKILL:2:after"),
    ],
)
def test_a_killed_process_changes_nothing_in_the_end(
    strategy: str,
    event: str,
    shot: str,
    learn: Any,
    learn_words: Any,
    micl: Any,
    whole: Any,
    home: Path,
    listener: Any,
    toy_site: Path,
) -> None:
    words = (*OWN, "--strategy", strategy, *OPTIONS.get(strategy, ()))
    run, expected = whole(*words)
    path = os.pathsep.join([str(listener(SHOT.format(event=event))), str(toy_site)])
    command = [sys.executable, "-m", "micl_cli", *learn_words(*words)]
    env = {**os.environ, "SHOT": shot, "PYTHONPATH": path}
    killed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    listed = micl("runs", "ls", "--json")
    assert [known["status"] for known in json.loads(listed.out)["runs"] if known["id"] == run] == ["interrupted"]
    resumed = learn(*words)
    assert (resumed.code, resumed.out.strip()) == (0, run), resumed.err
    assert ending(home, run) == expected
    assert not [path for path in (home / "runs" / run).rglob("*") if path.name.endswith(".new")]


@pytest.mark.parametrize("flushed", [2, 9, 17, 30, 38, 47])
def test_no_row_is_lost_when_a_process_is_killed_while_it_writes_a_file(
    flushed: int, learn: Any, learn_words: Any, whole: Any, home: Path, listener: Any, toy_site: Path
) -> None:
    words = (*OWN, "--strategy", "moincl", *OPTIONS["moincl"], "--save-predictions")
    run, expected = whole(*words)
    path = os.pathsep.join([str(listener(FSYNC)), str(toy_site)])
    command = [sys.executable, "-m", "micl_cli", *learn_words(*words)]
    env = {**os.environ, "FSYNC": str(flushed), "PYTHONPATH": path}
    killed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert learn(*words).code == 0
    assert ending(home, run) == expected


def test_whole_exactness_holds_for_the_embedded_backbone(
    learn: Any, whole: Any, home: Path, listener: Any, monkeypatch: Any
) -> None:
    words = ("--backbone", "tiny", "--strategy", "moincl", "--max-steps", "3", "--save-seconds", "0", "--lr", "0.003")
    run, expected = whole(*words)
    listener(SHOT.format(event="step"))
    monkeypatch.setenv("SHOT", "SIGTERM:2:2")
    assert learn(*words).code == 130
    assert learn(*words).out.strip() == run
    assert ending(home, run) == expected
