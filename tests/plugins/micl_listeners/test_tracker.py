"""What all trackers do, tried with one that remembers everything and can fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.api import RunFinished, RunInfo
from micl_listeners.series import Axis
from micl_listeners.tracker import Tracker


class Memory(Tracker):
    """Remembers what it is sent. With ``batch``, values are buffered and sent in batches of that many."""

    def __init__(self, *, batch: int = 1, report: bool = True) -> None:
        super().__init__(report=report)
        self.batch, self.buffer, self.sent = batch, list[Any](), Counter[Any]()
        self.files: dict[str, str] = {}
        self.table: Any = None
        self.status = ""

    @property
    def written(self) -> bool:
        return not self.buffer

    def open(self, run: RunInfo) -> str:
        return "shown here"

    def log(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        self.buffer.append([(name, at, value) for name, value in values.items()])
        if len(self.buffer) >= self.batch:
            self.send_buffer()

    def send_buffer(self) -> None:
        self.sent.update(value for values in self.buffer for value in values)
        self.buffer = []

    def describe_task(self, task: str, step: int) -> None:
        pass

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
        self.table = columns, rows

    def log_file(self, name: str, text: str) -> None:
        self.files[name] = text

    def finish(self, status: str) -> None:
        self.send_buffer()
        self.status = status


@pytest.fixture
def complete(script: Any, info: Any, deliver: Any, tmp_path: Path) -> Memory:
    """The tracker of a run that was not interrupted."""
    deliver(memory := Memory(), script.whole, info(folder=tmp_path / "complete"))
    return memory


def test_a_finished_run_has_its_figures_its_matrix_and_its_report(complete: Memory) -> None:
    assert complete.sent["figure/bwt", 2, -1.5] == 1
    assert complete.table == (["after stage", "own/img_cap", "own/aud_qa"], [[1, 11.0, None], [2, 21.0, 22.0]])
    assert list(complete.files) == ["report.html"]
    assert complete.status == "finished"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_another_end_has_its_status_and_no_report(script: Any, deliver: Any, status: str) -> None:
    end = RunFinished(run="r1", status=status, seconds=1.0)
    deliver(memory := Memory(), [*script.until(1, 2), end])
    assert (memory.status, memory.files, memory.table) == (status, {}, None)


def test_the_report_can_be_left_out(script: Any, deliver: Any) -> None:
    deliver(memory := Memory(report=False), script.whole)
    assert memory.files == {}


def test_a_report_that_cannot_be_made_does_not_leave_the_run_open(script: Any, info: Any, deliver: Any) -> None:
    def broken() -> str:
        raise OSError("no space left")

    memory = Memory()
    with pytest.raises(OSError, match="no space"):
        deliver(memory, script.whole, info(report=broken))
    assert memory.status == "finished"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=4), batch=st.integers(1, 5))
def test_a_run_that_is_killed_often_sends_everything_once(
    script: Any, info: Any, deliver: Any, complete: Memory, tmp_path: Path, kills: list[tuple[int, int]], batch: int
) -> None:
    run = info(folder=tmp_path / f"{kills} {batch}")
    sent: Counter[Any] = Counter()
    lives, saved = [script.until(2, 2)], 0
    for step, length in kills:  # each process resumes from no earlier a step than the one before it
        saved = max(saved, step)
        lives.append(script.resumed(2, saved)[: 1 + length])
    for events in [*lives, script.resumed(2, saved)]:
        deliver(memory := Memory(batch=batch), events, run)
        sent += memory.sent
    ledger = run.folder / "sent" / "r1.json"
    ledger.unlink()  # examples may be repeated
    assert sent == complete.sent


def test_a_listener_that_is_added_later_gets_the_steps_before(script: Any, deliver: Any, complete: Memory) -> None:
    deliver(memory := Memory(), script.resumed(2, 2))
    assert {name for name, _, _ in memory.sent} == {name for name, _, _ in complete.sent}
    assert [at for name, at, _ in sorted(memory.sent) if name == "train/loss"] == [1, 2, 3, 4, 5, 6]
