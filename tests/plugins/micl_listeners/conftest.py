"""A run of two stages as events, and what listeners know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import (
    Event,
    Listener,
    RunFinished,
    RunInfo,
    RunStarted,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
    Validated,
)

TASKS = ["own/img_cap", "own/aud_qa"]
STEPS = 3


def stage(position: int) -> Iterator[Event]:
    task = TASKS[position - 1]
    yield TaskStarted(position=position, tasks=[task], examples=12, steps_planned=STEPS, trainable_parameters=7)
    for step in range(1, STEPS + 1):
        loss = 10.0 * position - step
        yield Step(position=position, step=step, epoch=1, loss=loss, lr=0.1, seconds=0.5, terms={"answer": loss})
    yield Validated(position=position, step=STEPS, epoch=1, value=40.0 + position, best=True)
    yield learned(position)
    for number, scored in enumerate(TASKS[:position], 1):
        yield score(position, scored, 10.0 * position + number)


def learned(position: int, restored: bool = False) -> TaskLearned:
    return TaskLearned(
        position=position, tasks=[TASKS[position - 1]], data_sha256=["0"], steps=STEPS, examples=12, seconds=1.5,
        peak_bytes=1000, trainable_parameters=7, stored_bytes=99, checkpoint="stages/01", restored=restored,
    )  # fmt: skip


def score(after: int, task: str, value: float, restored: bool = False) -> Scored:
    return Scored(after=after, task=task, metric="cider", value=value, n=6, restored=restored, figures={"blue": value})


def started(resumed_from: tuple[int, int] | None = None) -> RunStarted:
    return RunStarted(run="r1", tasks=TASKS, strategy="moincl", backbone="toy", seed=0, resumed_from=resumed_from)


def finished(status: str = "finished") -> RunFinished:
    return RunFinished(run="r1", status=status, seconds=3.0)


class Script:
    """The events of a run, as a whole or of one process of it."""

    whole: Sequence[Event] = (started(), *stage(1), *stage(2), finished())

    def until(self, position: int, step: int) -> list[Event]:
        """Return the events of a process that was killed after a step."""
        places = {(e.position, e.step): i for i, e in enumerate(self.whole) if isinstance(e, Step)}
        return list(self.whole[: places[position, step] + 1])

    def resumed(self, position: int, step: int) -> list[Event]:
        """Return the events of a process that resumes from a checkpoint in stage 2."""
        assert position == 2
        left = [e for e in stage(2) if not (isinstance(e, Step) and e.step <= step)]
        first = [learned(1, restored=True), score(1, TASKS[0], 11.0, restored=True)]
        return [started((position, step)), *first, *left, finished()]


@pytest.fixture(scope="session")
def script() -> Script:
    """The events of a run of two stages with three steps each."""
    return Script()


MakeInfo = Callable[..., RunInfo]


@pytest.fixture
def info(tmp_path: Path) -> MakeInfo:
    """Make what listeners know of the run r1: ``info(id="r2", group="grid")`` changes fields."""

    def history(position: int, step: int) -> Iterator[Event]:
        recorded = [e for e in Script.whole if isinstance(e, Step | Validated)]
        return iter([e for e in recorded if (e.position, e.step) <= (position, step)])

    def make(**changes: Any) -> RunInfo:
        fields: dict[str, Any] = {
            "id": "r1",
            "name": "first",
            "strategy": "moincl",
            "group": "",
            "tags": ("paper", "gpu"),
            "configuration": {"plan": {"seed": 0, "training": {"epochs": 1}}, "environment": {"micl": "1.0"}},
            "folder": tmp_path / "listener",
            "history": history,
            "figures": lambda: {"bwt": -1.5, "mfn": 3.0},
            "report": lambda: "<!doctype html><title>report</title>",
        }
        return RunInfo(**{**fields, **changes})

    return make


Deliver = Callable[..., str]


@pytest.fixture
def deliver(info: MakeInfo) -> Deliver:
    """Start a listener, deliver events to it and close it, as a run does; returns its notice."""

    def call(listener: Listener, events: Sequence[Event], run: RunInfo | None = None) -> str:
        about = run or info()
        try:
            notice = listener.start(about)
            for event in events:
                listener.consume(about.id, event)
            return notice
        finally:
            listener.close()

    return call
