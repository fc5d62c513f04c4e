"""The events of a run in Python: interruption, resumption, and several runs in one process."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

import micl_cli
from micl_cli.errors import BusyError, Interrupted

INTERRUPT_AT_STEP = """
count = 0

@hookimpl
def micl_event(run, event):
    global count
    if event.name == "step":
        count += 1
        if count == 3:
            signal.raise_signal(signal.SIGINT)
"""


def losses(run: micl_cli.Run) -> list[tuple[int, int, float]]:
    return [(each["position"], each["step"], each["loss"]) for each in run.losses()]


@pytest.fixture
def expected(quick: dict[str, Any]) -> tuple[str, list[tuple[int, int, float]]]:
    """The id and losses of a run that was never interrupted, which is removed."""
    run = micl_cli.learn(**quick)
    learnt = run.id, losses(run)
    run._session.remove(run.id)
    return learnt


def test_an_interrupted_run_is_resumed_to_the_same_losses(
    quick: dict[str, Any], expected: Any, listener: Any, capsys: Any
) -> None:
    listener(INTERRUPT_AT_STEP)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=rf'load_run\("{expected[0]}"\)\.resume\(\)'):
        micl_cli.learn(**{**quick, "progress": True})
    assert "stopping: saving what is learnt" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    run = micl_cli.load_run("@last")
    assert (run.id, run.status) == (expected[0], "interrupted")
    assert run.resume(progress=False) is run
    assert (run.status, losses(run)) == ("finished", expected[1])


def test_an_error_in_the_loop_leaves_a_run_that_resumes(events: Any, expected: Any) -> None:
    stepwise = events(save_seconds=0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        for event in stepwise:
            assert signal.getsignal(signal.SIGINT) is before
            if event.name == "step" and event.step == 3:
                raise KeyboardInterrupt
    run = stepwise.run  # the iterator is alive, as a traceback of a notebook keeps it
    assert run.resume(progress=False).status == "finished"
    assert (run.id, losses(run)) == expected
    with pytest.raises(Interrupted, match="was started in this process"):
        next(stepwise)


def test_a_second_loop_continues_the_first(events: Any, expected: Any) -> None:
    stepwise = events()
    names = []
    for event in stepwise:
        names.append(event.name)
        if event.name == "step":
            break
    names += [event.name for event in stepwise]
    assert names[0] == "run_started" and names[-1] == "run_finished" and names.count("step") == 8
    assert losses(stepwise.run) == expected[1]
    assert list(stepwise) == []


def test_a_closed_run_is_interrupted(events: Any) -> None:
    with events() as stepwise:
        assert next(stepwise).name == "run_started"
        assert stepwise.run.status == "running"
    assert stepwise.run.status == "interrupted"


def test_an_abandoned_run_is_interrupted(events: Any) -> None:
    for event in (stepwise := events()):
        if event.name == "step":
            break
    run = stepwise.run
    del stepwise
    assert run.status == "interrupted"


def test_starting_another_run_interrupts_the_one_that_waits(events: Any) -> None:
    first, second = events(), events(seed=1)
    next(first)
    assert next(second).run == second.run.id
    assert first.run.status == "interrupted"
    with pytest.raises(Interrupted, match=f"when run {second.run.id} was started"):
        next(first)
    second.close()


def test_two_threads_cannot_carry_out_runs_at_once(events: Any) -> None:
    first, second = events(), events(seed=1)
    errors: list[BaseException] = []

    def other() -> None:
        try:
            next(second)
        except BusyError as error:
            errors.append(error)

    with first._alone():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread of this process" in str(errors[0])


def test_a_run_is_learnt_in_another_thread_and_stopped_from_this_one(events: Any) -> None:
    stepwise = events(max_steps=10_000, epochs=10_000)
    started, ended = threading.Event(), []

    def work() -> None:
        try:
            for event in stepwise:
                if event.name == "step":
                    started.set()
        except Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(120)
    stepwise.stop()
    thread.join(120)
    assert ended and stepwise.run.status == "interrupted"
