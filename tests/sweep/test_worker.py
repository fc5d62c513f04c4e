from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.task import Task
from micl_cli.errors import BusyError, PlanError
from micl_cli.plan import Plan
from micl_cli.session import Request, Session
from micl_cli.settings import load_settings
from micl_cli.sweep import worker
from micl_cli.sweep.worker import BUSY, CellTask


def run(monkeypatch: pytest.MonkeyPatch, task: CellTask) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(task.as_json())))
    return worker.main()


def task(plan: Plan, home: Path, **more: Any) -> CellTask:
    return CellTask(run=plan.id, plan=plan.as_json(), home=str(home), **more)


@pytest.fixture
def plan(home: Path) -> Plan:
    session = Session(load_settings())
    names = ("own/img_cap", "own/aud_qa")
    opened: list[Task] = session.tasks.open_tasks(names)
    small = {"training": {"batch_size": 4, "max_steps": 1}, "evaluation": {"examples": 1, "max_new_tokens": 2}}
    return session.plan(Request(strategy="finetune", backbone="toy", tasks=names, **small), opened)


def test_a_cell_is_learnt_in_the_home_of_its_task(
    plan: Plan, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MICL_HOME", str(tmp_path / "another"))
    assert run(monkeypatch, task(plan, home)) == 0
    names = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert (names[0], names[-1]) == ("run_started", "run_finished")
    assert (home / "runs" / plan.id / "stages" / "02").is_dir()
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (BusyError("busy", "Wait."), BUSY, "error: busy\n"),
        (PlanError("does not\nfit", "Choose."), 4, "error: does not fit\n"),
        (ValueError("odd"), 1, "error: ValueError: odd\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_line_with_an_exit_code(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def learn_cell(task: CellTask) -> None:
        raise error

    monkeypatch.setattr(worker, "learn_cell", learn_cell)
    empty = CellTask(run="x", plan={}, home="/nowhere")
    assert run(monkeypatch, empty) == code
    assert capsys.readouterr().err == text


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, CellTask(run="x", plan={}, home=os.devnull, debug=True)) == 1
    assert "Traceback" in capsys.readouterr().err
