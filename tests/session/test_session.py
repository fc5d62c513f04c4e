from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.task import Task
from micl_cli.errors import UsageError
from micl_cli.plan import Plan
from micl_cli.session import Request, Session, learn
from micl_cli.training.loop import Control

FIGURES = """
@hookimpl
def micl_metrics(run, matrix, tasks):
    return {"last row": sum(matrix[-1]), "tasks": len(tasks)}
"""


def test_a_program_learns_reports_and_removes_a_run(
    session: Session, plan: Plan, tasks: list[Task], home: Path
) -> None:
    assert plan.data == {task.name: task.sha256 for task in tasks}
    names = [event.name for event in learn(session, plan, tasks, Control())]
    assert [name for name in names if name not in ("step", "scored", "validated")] == [
        *("run_started", "task_started", "task_learned", "task_started", "task_learned", "run_finished")
    ]
    data = session.report(plan.id)
    assert (data.status, data.tasks) == ("finished", plan.tasks)
    session.remove(plan.id)
    assert not (home / "runs" / plan.id).exists()
    with pytest.raises(UsageError, match="no run"):
        session.resolve(plan.id)


def test_plugins_add_figures_to_a_report(learn: Any, listener: Any, micl: Any) -> None:
    listener(FIGURES)
    run = learn("--max-steps", "2").out.strip()
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    assert report["extra"] == {"last row": pytest.approx(sum(report["matrix"][-1])), "tasks": 2}
    assert "last row" in micl("report", run).out


def test_a_folder_with_the_name_of_a_task_is_not_prepared_for_it(
    learn: Any, tmp_path: Path, little_mini: Any, own_folders: Path
) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "img_qa").symlink_to(own_folders / "img_qa")
    done = learn("--tasks", "img_qa", "--max-steps", "1")
    assert done.code == 0, done.err


def test_an_unknown_task_is_reported_before_anything_is_prepared(learn: Any, home: Path, little_mini: Any) -> None:
    done = learn("--tasks", "img_qa,aud_qqa", "--max-steps", "1")
    assert done.code == 3
    assert not (home / "tasks" / "mini").exists()


def test_an_estimate_counts_what_the_run_will_score(session: Session, plan: Plan, tasks: list[Task]) -> None:
    estimate = session.estimate(plan, tasks)
    assert [(s.position, s.examples, s.steps, s.scored) for s in estimate.stages] == [(1, 12, 2, 2), (2, 12, 2, 4)]
    assert estimate.steps == 4
    assert estimate.trainable > 1000
    assert estimate.duration.startswith("no time estimate")


def test_backbones_get_the_home_folder_of_the_session(
    session: Session, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micl_cli.testing import ToyBackbone

    homes: list[Path] = []

    def digest(preset: str, resources: Any) -> str:
        homes.append(resources.home)
        return ""

    monkeypatch.setattr(ToyBackbone, "digest", digest)
    monkeypatch.delenv("MICL_HOME")
    session.plan(request_, ())
    assert homes == [session.settings.home]
