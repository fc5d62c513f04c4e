from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Event
from micl_cli.errors import Interrupted, UsageError
from micl_cli.session import Request, Session
from micl_cli.settings import load_settings
from micl_cli.training.loop import Control

EAR = """
heard = []

@hookimpl
def micl_run_started(run, plan):
    heard.append(("run_started", run, plan["strategy"]))

@hookimpl
def micl_task_started(run, event):
    heard.append(("task_started", run, event.position))

@hookimpl
def micl_step(run, event):
    heard.append(("step", run, event.step))

@hookimpl
def micl_task_learned(run, event):
    heard.append(("task_learned", run, event.position))

@hookimpl
def micl_scored(run, event):
    if event.main:
        heard.append(("scored", run, event.task))

@hookimpl
def micl_run_finished(run, status):
    heard.append(("run_finished", run, status))

@hookimpl
def micl_metrics(run, matrix, tasks):
    return {"last row": sum(matrix[-1]), "tasks": len(tasks)}
"""


@pytest.fixture
def request_() -> Request:
    return Request(
        strategy="finetune",
        backbone="toy",
        tasks=("own/img_cap", "own/aud_qa"),
        training={"batch_size": 4, "max_steps": 2},
        evaluation={"examples": 2, "max_new_tokens": 4},
    )


def heard() -> list[Any]:
    import ear_plugin  # type: ignore[import-not-found]

    found: list[Any] = ear_plugin.heard
    return found


def test_listeners_hear_a_run_in_order(learn: Any, listener: Any) -> None:
    listener(EAR)
    run = learn("--max-steps", "2").out.strip()
    assert heard() == [
        ("run_started", run, "finetune"),
        ("task_started", run, 1),
        ("step", run, 1),
        ("step", run, 2),
        ("task_learned", run, 1),
        ("scored", run, "own/img_cap"),
        ("task_started", run, 2),
        ("step", run, 1),
        ("step", run, 2),
        ("task_learned", run, 2),
        ("scored", run, "own/img_cap"),
        ("scored", run, "own/aud_qa"),
        ("run_finished", run, "finished"),
    ]


def test_plugins_add_figures_to_a_report(learn: Any, listener: Any, micl: Any) -> None:
    listener(EAR)
    run = learn("--max-steps", "2").out.strip()
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    assert report["extra"] == {"last row": pytest.approx(sum(report["matrix"][-1])), "tasks": 2}
    assert "last row" in micl("report", run).out


@pytest.mark.parametrize("hook", ["micl_step", "micl_run_started", "micl_run_finished"])
def test_a_listener_that_raises_is_warned_about_and_the_run_goes_on(
    learn: Any, listener: Any, micl: Any, hook: str
) -> None:
    listener(f"@hookimpl\ndef {hook}(run):\n    raise ValueError('ouch')\n")
    done = learn("--max-steps", "2")
    assert done.code == 0
    assert done.err.count("ouch") == 1
    assert f"plugin 'ear' of micl-ear 1.0 failed in {hook} and is skipped from now on: ValueError: ouch" in done.err
    assert json.loads(micl("runs", "--json").out)["runs"][0]["status"] == "finished"


@pytest.mark.parametrize(
    ("error", "code", "status"), [(ValueError("x"), 1, "failed"), (KeyboardInterrupt(), 130, "interrupted")]
)
def test_listeners_and_store_hear_how_a_run_ended(
    learn: Any, listener: Any, micl: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, status: str
) -> None:
    from micl_cli.testing import ToyBackbone

    def generate(*args: Any, **options: Any) -> list[str]:
        raise error

    monkeypatch.setattr(ToyBackbone, "generate", generate)
    listener(EAR)
    done = learn("--max-steps", "1")
    assert (done.code, done.out) == (code, "")
    assert heard()[-1][::2] == ("run_finished", status)
    assert json.loads(micl("runs", "--json").out)["runs"][0]["status"] == status


def test_libraries_do_not_speak_to_the_user(learn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from micl_cli.testing import ToyBackbone

    batch = ToyBackbone.batch

    def noisy(self: ToyBackbone, examples: Any) -> Any:
        warnings.warn("this will be removed in version 9", FutureWarning, stacklevel=2)
        return batch(self, examples)

    monkeypatch.setattr(ToyBackbone, "batch", noisy)
    assert "version 9" not in learn("--max-steps", "1").err
    with pytest.warns(FutureWarning, match="version 9"):
        learn("--max-steps", "1", "--seed", "1", "--debug")


def test_a_run_as_a_program_drives_it(home: Path, request_: Request) -> None:
    session = Session(load_settings())
    tasks = session.open_tasks(request_.tasks)
    plan = session.plan(request_, tasks)
    assert plan.data == {task.name: task.sha256 for task in tasks}
    found: list[Event] = list(session.learn(plan, tasks, Control()))
    assert [event.name for event in found if event.name not in ("step", "scored", "validated")] == [
        *("run_started", "task_started", "task_learned", "task_started", "task_learned", "run_finished")
    ]
    data = session.report(plan.id)
    assert (data.status, data.tasks) == ("finished", request_.tasks)
    session.remove(plan.id)
    assert not (home / "runs" / plan.id).exists()
    with pytest.raises(UsageError, match="no run"):
        session.resolve(plan.id)


def test_a_consumer_that_leaves_interrupts_the_run(home: Path, request_: Request) -> None:
    session = Session(load_settings())
    tasks = session.open_tasks(request_.tasks)
    plan = session.plan(request_, tasks)
    events = session.learn(plan, tasks, Control(save_seconds=0))
    for event in events:
        if event.name == "step":
            break
    events.close()
    with session.store() as store:
        known = store.run(plan.id)
    assert known is not None
    assert known.status == "interrupted"
    assert list(session.learn(plan, tasks, Control()))[-1].name == "run_finished"


def test_a_stop_is_told_with_the_way_to_go_on(home: Path, request_: Request) -> None:
    session = Session(load_settings())
    tasks = session.open_tasks(request_.tasks)
    plan = session.plan(request_, tasks)
    with pytest.raises(Interrupted) as caught:
        list(session.learn(plan, tasks, Control(stop=lambda: True)))
    assert caught.value.exit_code == 130
    assert f"micl learn --resume {plan.id}" in caught.value.hint


def test_a_resumed_run_keeps_its_threads(home: Path, request_: Request) -> None:
    import torch

    session = Session(load_settings())
    tasks = session.open_tasks(request_.tasks)
    plan = session.plan(request_, tasks)
    before = torch.get_num_threads()
    try:
        with pytest.raises(Interrupted):
            list(session.learn(plan, tasks, Control(stop=lambda: True), threads=2))
        torch.set_num_threads(1)
        assert not [e for e in session.learn(plan, tasks, Control()) if e.name == "notice"]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_folder_named_like_a_task_is_not_taken_for_it(
    learn: Any, tmp_path: Path, little_mini: Any, own_folders: Path
) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "img_qa").symlink_to(own_folders / "img_qa")
    done = learn("--tasks", "img_qa", "--max-steps", "1")
    assert done.code == 0, done.err


def test_a_name_that_nobody_knows_is_told_before_anything_is_prepared(learn: Any, home: Path, little_mini: Any) -> None:
    done = learn("--tasks", "img_qa,aud_qqa", "--max-steps", "1")
    assert done.code == 3
    assert not (home / "tasks" / "mini").exists()


def test_an_estimate_counts_what_the_run_will_score(home: Path, request_: Request) -> None:
    session = Session(load_settings())
    tasks = session.open_tasks(request_.tasks)
    estimate = session.estimate(session.plan(request_, tasks), tasks)
    assert [(s.position, s.examples, s.steps, s.scored) for s in estimate.stages] == [(1, 12, 2, 2), (2, 12, 2, 4)]
    assert estimate.steps == 4
    assert estimate.trainable > 1000
    assert estimate.duration.startswith("no earlier run")


def test_a_resumed_run_says_what_changed(home: Path, request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(load_settings())
    tasks = session.open_tasks(request_.tasks)
    plan = session.plan(request_, tasks)
    with pytest.raises(Interrupted):
        list(session.learn(plan, tasks, Control(stop=lambda: True)))
    monkeypatch.setattr("micl_cli.session.recorder.__version__", "99.0")
    (notice,) = [event.as_json() for event in session.learn(plan, tasks, Control()) if event.name == "notice"]
    assert notice["text"].startswith("micl was 0.1.0 when this run began and is 99.0 now")


def test_memory_that_runs_out_loses_nothing(learn: Any, micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from micl_cli.api.strategy import Strategy

    whole = learn("--max-steps", "4", "--seed", "5")
    loss, counted = Strategy.loss, [0]

    def full(self: Any, batch: Any) -> Any:
        counted[0] += 1
        if counted[0] == 7:
            raise MemoryError("2 GiB were asked for")
        return loss(self, batch)

    monkeypatch.setattr(Strategy, "loss", full)
    words = ("--max-steps", "4", "--seed", "5", "--again", "--save-seconds", "0")
    stopped = learn(*words)
    assert stopped.code == 1
    assert "error: memory ran out: 2 GiB were asked for" in stopped.err
    assert "--gradient-checkpointing" in stopped.err
    run = json.loads(micl("runs", "--json").out)["runs"][0]["id"]
    monkeypatch.setattr(Strategy, "loss", loss)
    assert micl("learn", "--resume", run).code == 0
    one, other = (json.loads(micl("report", each, "--json").out)["runs"][0] for each in (whole.out.strip(), run))
    assert one["matrix"] == other["matrix"]
