from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Event
from micl_cli.api.task import Task
from micl_cli.errors import Interrupted
from micl_cli.plan import Plan
from micl_cli.session import Session, learn
from micl_cli.training.loop import Control


def test_a_consumer_that_leaves_interrupts_the_run(session: Session, plan: Plan, tasks: list[Task]) -> None:
    events = learn(session, plan, tasks, Control(save_seconds=0))
    for event in events:
        if event.name == "step":
            break
    events.close()
    with session.store() as store:
        run = store.run(plan.id)
    assert run is not None
    assert run.status == "interrupted"
    assert list(learn(session, plan, tasks, Control()))[-1].name == "run_finished"


def test_a_stop_tells_how_to_continue(session: Session, plan: Plan, tasks: list[Task]) -> None:
    with pytest.raises(Interrupted) as caught:
        list(learn(session, plan, tasks, Control(stop=lambda: True)))
    assert caught.value.exit_code == 130
    assert f"micl learn --resume {plan.id}" in caught.value.hint


def test_a_resumed_run_keeps_its_threads(session: Session, plan: Plan, tasks: list[Task]) -> None:
    import torch

    threads = torch.get_num_threads()
    try:
        with pytest.raises(Interrupted):
            list(learn(session, plan, tasks, Control(stop=lambda: True), threads=2))
        torch.set_num_threads(1)
        assert not [e for e in learn(session, plan, tasks, Control()) if e.name == "notice"]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_the_first_event_holds_the_plan(session: Session, plan: Plan, tasks: list[Task]) -> None:
    first: Event = next(learn(session, plan, tasks, Control()))
    assert first.as_json()["plan"] == plan.as_json()
    list(learn(session, plan, tasks, Control()))
    again = next(learn(session, plan, tasks, Control()))
    assert again.as_json()["plan"] == plan.as_json()


def test_a_resumed_run_tells_what_has_changed(
    session: Session, plan: Plan, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        list(learn(session, plan, tasks, Control(stop=lambda: True)))
    monkeypatch.setattr("micl_cli.session.environment.__version__", "99.0")
    events = list(learn(session, plan, tasks, Control()))
    assert [event.name for event in events[:2]] == ["run_started", "notice"]
    assert "99.0" in events[1].as_json()["text"]


def test_a_run_that_another_machine_has_finished_is_skipped_where_asked(
    session: Session, plan: Plan, tasks: list[Task], home: Path
) -> None:
    import shutil

    list(learn(session, plan, tasks, Control()))
    shutil.rmtree(home / "runs" / plan.id)
    assert list(learn(session, plan, tasks, Control(), skip_finished_elsewhere=True)) == []
    assert list(learn(session, plan, tasks, Control()))[-1].name == "run_finished"


def test_warnings_of_libraries_are_only_shown_with_debug(learn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    from micl_cli.testing import ToyBackbone

    generate = ToyBackbone.generate

    def loud(self: Any, *args: Any, **options: Any) -> list[str]:
        warnings.warn("you should upgrade to version 9", FutureWarning, stacklevel=2)
        return generate(self, *args, **options)

    monkeypatch.setattr(ToyBackbone, "generate", loud)
    assert "version 9" not in learn("--max-steps", "1").err
    with pytest.warns(FutureWarning, match="version 9"):
        learn("--max-steps", "1", "--seed", "1", "--debug")


@pytest.mark.parametrize(
    ("error", "code", "status"), [(ValueError("x"), 1, "failed"), (KeyboardInterrupt(), 130, "interrupted")]
)
def test_the_store_records_how_a_run_ended(
    learn: Any, micl: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, status: str
) -> None:
    from micl_cli.testing import ToyBackbone

    def generate(*args: Any, **options: Any) -> list[str]:
        raise error

    monkeypatch.setattr(ToyBackbone, "generate", generate)
    done = learn("--max-steps", "1")
    assert (done.code, done.out) == (code, "")
    assert json.loads(micl("runs", "--json").out)["runs"][0]["status"] == status


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
    assert "error: out of memory: 2 GiB were asked for" in stopped.err
    assert "--gradient-checkpointing" in stopped.err
    run = json.loads(micl("runs", "--json").out)["runs"][0]["id"]
    monkeypatch.setattr(Strategy, "loss", loss)
    assert micl("learn", "--resume", run).code == 0
    one, other = (json.loads(micl("report", each, "--json").out)["runs"][0] for each in (whole.out.strip(), run))
    assert one["matrix"] == other["matrix"]


def test_a_damaged_stage_of_a_finished_run_is_learnt_again(session: Session, plan: Plan, tasks: list[Task]) -> None:
    list(learn(session, plan, tasks, Control()))
    stages = session.settings.runs / plan.id / "stages"
    before = {path: path.read_bytes() for path in stages.rglob("*.safetensors")}
    damaged = stages / "01" / "adapters.safetensors"
    damaged.write_bytes(before[damaged][:-1] + bytes([before[damaged][-1] ^ 1]))
    events = list(learn(session, plan, tasks, Control()))
    assert any("the stage is learnt again" in event.text for event in events if event.name == "notice")
    assert any(event.name == "step" for event in events)
    assert {path: path.read_bytes() for path in stages.rglob("*.safetensors")} == before
    assert "step" not in [event.name for event in learn(session, plan, tasks, Control())]


def test_a_task_whose_preparation_was_killed_before_its_record_is_recorded(
    session: Session, plan: Plan, tasks: list[Task]
) -> None:
    list(learn(session, plan, tasks, Control()))
    with session.store() as store:
        assert [record.sha256 for task in tasks if (record := store.task(task.name))] == [t.sha256 for t in tasks]
