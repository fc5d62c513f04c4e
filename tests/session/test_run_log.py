"""The log of a run: what it tells, and that it never disturbs the run."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Notice, RunFinished, RunStarted, Step
from micl_cli.errors import Interrupted, PlanError
from micl_cli.session import run_log
from micl_cli.session.run_log import EventLog

RUN = RunStarted(run="ab12", tasks=["mini/img_cap"], strategy="moincl", backbone="tiny", seed=0, resumed_from=(1, 40))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "runs" / "ab12").mkdir(parents=True)
    return made


def lines(folder: Path) -> list[str]:
    return (folder / "log.txt").read_text().splitlines()


def step(number: int) -> Step:
    return Step(position=1, step=number, epoch=1, loss=0.5, lr=0.1, seconds=0.01)


def test_events_and_messages_are_written_with_their_time(folder: Path) -> None:
    with run_log.run_log(folder):
        log = EventLog()
        for event in (RUN, step(41), step(42), Notice(text="a \N{SNOWMAN}")):
            log.take(event)
        logging.getLogger("micl_cli.training.loop").debug("writing a checkpoint")
        log.take(RunFinished(run="ab12", status="finished", seconds=3.25))
    logging.getLogger("micl_cli.training.loop").debug("later")
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]+ ", line) for line in lines(folder))
    texts = [line.split(" ", 2)[2] for line in lines(folder)]
    assert texts[1:] == [
        "run ab12: moincl on tiny, seed 0, resumed at stage 1, step 40",
        "stage 1, step 41, epoch 1: loss 0.5000, lr 0.1",
        "note: a \N{SNOWMAN}",
        "writing a checkpoint",
        "finished after 3.2 s",
    ]


def test_a_later_start_is_appended(folder: Path) -> None:
    for _ in range(2):
        with run_log.run_log(folder):
            EventLog().take(RUN)
    assert sum("run ab12" in line for line in lines(folder)) == 2


def test_the_error_that_ends_a_run_is_written_with_its_traceback_and_without_secrets(folder: Path) -> None:
    with pytest.raises(PlanError), run_log.run_log(folder):
        raise PlanError("no access to postgresql://ada:secret@host/micl")
    text = (folder / "log.txt").read_text()
    assert "ERROR failed: no access to postgresql://ada:***@host/micl" in text
    assert "Traceback" in text and ":secret@" not in text
    with pytest.raises(Interrupted), run_log.run_log(folder):
        raise Interrupted("interrupted; what is learnt is saved")
    assert lines(folder)[-1].endswith("INFO interrupted; what is learnt is saved")


@pytest.mark.parametrize("obstacle", ["link", "pipe", "folder", "gone"])
def test_a_log_that_cannot_be_written_does_not_disturb_the_run(folder: Path, tmp_path: Path, obstacle: str) -> None:
    if obstacle == "link":
        (tmp_path / "target").write_text("mine")
        (folder / "log.txt").symlink_to(tmp_path / "target")
    elif obstacle == "pipe":
        os.mkfifo(folder / "log.txt")
    elif obstacle == "folder":
        (folder / "log.txt").mkdir()
    else:
        folder.rmdir()
    with run_log.run_log(folder):
        EventLog().take(RUN)
    assert obstacle != "link" or (tmp_path / "target").read_text() == "mine"


def test_learning_and_scoring_are_logged(finished: str, micl: Any, isolated: Path) -> None:
    folder = isolated / "runs" / finished
    text = (folder / "log.txt").read_text()
    for words in ("loading backbone toy", "stage 1 learnt in", "after stage 2: own/aud_qa accuracy", "finished after"):
        assert words in text
    count = len(lines(folder))
    assert micl("eval", finished, "--split", "val").code == 0
    assert any("own/aud_qa accuracy" in line and "val" in line for line in lines(folder)[count:])
    assert str(folder / "log.txt") in micl("runs", "show", finished).out


def test_a_message_controls_no_terminal(folder: Path) -> None:
    with run_log.run_log(folder):
        EventLog().take(Notice(text="red \x1b[31m and \u202e"))
    assert lines(folder)[-1].endswith(r"note: red \x1b[31m and \u202e")
