from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.sweep import executor
from micl_cli.sweep.executor import CellEvent, ProcessExecutor, ProcessExit, worker_command
from micl_cli.sweep.worker import BUSY, CellTask

FAKE = """
import json, sys, time
task = json.load(sys.stdin)
print("a stray line", flush=True)
print(json.dumps({"event": "step", "device": task["device"]}), flush=True)
sys.stderr.write("warning: old\\nerror: no luck\\n")
if task["device"] == "slow":
    time.sleep(60)
sys.exit(task["threads"])
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a short script stand in for the worker; it exits with the code that ``threads`` gives."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(executor, "worker_command", lambda: [sys.executable, str(tmp_path / "fake.py")])


def task(run: str, **more: Any) -> CellTask:
    return CellTask(run=run, plan={}, home="/nowhere", **more)


def messages(running: ProcessExecutor) -> list[CellEvent | ProcessExit]:
    found = []
    while len(running):
        if message := running.next_message(0.1):
            found.append(message)
    return found


def test_events_and_the_end_of_a_process_are_reported(fake: None) -> None:
    with ProcessExecutor() as running:
        running.start(task("abc", threads=3))
        event, end = messages(running)
    assert event == CellEvent("abc", {"event": "step", "device": "auto"})
    assert isinstance(end, ProcessExit)
    assert (end.run, end.code, end.status, end.error) == ("abc", 3, "failed", "no luck")


@pytest.mark.parametrize(
    ("code", "status"), [(0, "finished"), (1, "failed"), (4, "failed"), (BUSY, "busy"), (130, "interrupted")]
)
def test_exit_codes_are_statuses(code: int, status: str) -> None:
    assert ProcessExit("r", code, "").status == status


def test_an_error_is_one_line() -> None:
    assert ProcessExit("r", 1, "error: a\nhint: b\n").error == "a"
    assert ProcessExit("r", 1, "Traceback\n  ValueError: c\n\n").error.strip() == "ValueError: c"
    assert ProcessExit("r", 7, "").error == "exit code 7"
    assert ProcessExit("r", -signal.SIGKILL, "error: a").error == "its process was ended by SIGKILL"


@pytest.mark.skipif(os.name != "posix", reason="signals between processes")
def test_leaving_ends_what_is_still_running(fake: None) -> None:
    with ProcessExecutor() as running:
        running.start(task("abc", device="slow"))
        assert running.next_message(30) is not None
        assert len(running) == 1
    (end,) = messages(running)
    assert isinstance(end, ProcessExit)
    assert end.code == -signal.SIGTERM


def test_a_worker_does_not_import_from_the_current_folder(tmp_path: Path) -> None:
    for name in ("queue", "signal", "torch", "micl_cli"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    done = subprocess.run(
        worker_command(), input=json.dumps(task("abc").as_json()), capture_output=True, text=True, check=False
    )
    assert "imported" not in done.stderr
    assert done.returncode == 1


def test_processes_of_a_worker_do_not_import_from_the_current_folder_either(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import json, os; print(json.dumps({'safe': os.environ['PYTHONSAFEPATH']}))"
    monkeypatch.setattr(executor, "worker_command", lambda: [sys.executable, "-c", script])
    with ProcessExecutor() as running:
        running.start(task("abc"))
        event, _ = messages(running)
    assert event == CellEvent("abc", {"safe": "1"})
