"""Several real processes on one store."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from micl_cli.api.events import Scored
from micl_cli.errors import StoreError
from micl_cli.store import Store, connect, schema

# Every process waits at a gate, so that they start at the same moment.
GATE = """
import sys, time
from pathlib import Path
from micl_cli.api.events import Scored, Step
from micl_cli.store import NewRun, Store, schema
import alembic.command, micl_cli.store.models, micl_cli.store.store
url, gate, me, migrations, head = sys.argv[1:]
schema.MIGRATIONS, schema.HEAD = Path(migrations), head
Path(gate, me).touch()
while not Path(gate, "open").exists():
    time.sleep(0.001)
"""
OPEN = "Store.open(url).close()"
LEARN = """
with Store.open(url) as store:
    store.start_run(NewRun(id=me, plan={}))
    for n in range(1, 21):
        store.write(me, [Step(position=1, step=n, epoch=1, loss=1.0, lr=1.0, seconds=0.0)])
        assert len(store.runs()) >= 1
    store.end_run(me, "finished")
"""
DIE = """
from sqlalchemy.orm import Session
from micl_cli.store.connect import writing
from micl_cli.store.writing import apply_events
with Store.open(url) as store:
    store.start_run(NewRun(id=me, plan={}))
    score = lambda after: Scored(after=after, task="t", metric="m", value=1.0, n=1)
    store.write(me, [score(1)])
    with Session(writing(store.engine)) as session, session.begin():
        apply_events(session, me, [score(2)])
        session.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


class Crowd:
    def __init__(self, url: str, gate: Path) -> None:
        self.url, self.gate = url, gate
        gate.mkdir()

    def start(self, code: str, me: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", GATE + code, self.url, str(self.gate), me, str(schema.MIGRATIONS), schema.HEAD]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def open_gate(self) -> None:
        (self.gate / "open").touch()

    def run(self, code: str, number: int) -> None:
        """Run ``code`` in ``number`` processes at once, all of which must succeed."""
        processes = [self.start(code, f"p{n}") for n in range(number)]
        while len(list(self.gate.iterdir())) < number:
            assert all(process.poll() is None for process in processes), processes[0].communicate()
        self.open_gate()
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors


@pytest.fixture
def crowd(url, tmp_path):
    return Crowd(url, tmp_path / "gate")


def test_processes_that_all_create_the_store(crowd, url, file):
    crowd.run(OPEN, 3)
    with Store.open(url) as store:
        assert store.runs() == []
    assert [path.name for path in file.parent.iterdir()] == ["micl.db"]


def test_processes_that_all_upgrade_the_store(later, old, crowd, url):
    crowd.run(OPEN, 3)
    with Store.open(url) as store:
        assert len(store.runs()) == 4
    assert len(list(old.parent.glob("micl-0008-*.db"))) == 1


def test_processes_that_all_create_and_write(crowd, url):
    crowd.run(LEARN, 3)
    with Store.open(url) as store:
        assert {(run.id, run.status) for run in store.runs()} == {(f"p{n}", "finished") for n in range(3)}
        assert [len(store.steps(f"p{n}")) for n in range(3)] == [20] * 3


def test_a_process_killed_while_writing_loses_that_write_alone(crowd, url):
    process = crowd.start(DIE, "p0")
    crowd.open_gate()
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Store.open(url) as store:
        assert [score.after for score in store.details("p0").scores] == [1]
        store.write("p0", [Scored(after=2, task="t", metric="m", value=1.0, n=1)])
        assert len(store.details("p0").scores) == 2


def test_reading_goes_on_while_another_writes_and_writing_fails_with_a_hint(file, url, new_run, monkeypatch):
    monkeypatch.setattr(connect, "LOCK_TIMEOUT", 0.05)
    with Store.open(url) as store:
        store.start_run(new_run())
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert len(store.runs()) == 1
        with pytest.raises(StoreError, match="locked by another process"):
            store.end_run("abc123", "finished")
        other.close()
        store.end_run("abc123", "finished")
