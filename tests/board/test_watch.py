"""What the board reads from a store, while runs are learnt and after they have ended."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from micl_cli.board.rows import Board, RunRow
from micl_cli.board.watch import Watch, WatchingSession
from micl_cli.errors import StoreError
from micl_cli.session import Session
from micl_cli.settings import load_settings
from micl_cli.store import NewRun, check
from micl_cli.sweep.record import CellRecord, SweepRecord

OLD = Path(__file__).parents[1] / "store" / "assets" / "schema-0005.sqlite"


def board(limit: int = 200) -> Board:
    """Return what is read now."""
    watch = Watch(WatchingSession(load_settings()), limit)
    try:
        return watch.board()
    finally:
        watch.close()


def only(found: Board) -> RunRow:
    (row,) = found.runs
    return row


def texts(row: RunRow) -> dict[str, str]:
    return {name: cell.text for name, cell in row.cells.items()}


def test_without_a_store_there_is_nothing_and_nothing_is_made(isolated: Path) -> None:
    assert (board(), isolated.exists()) == (Board(sweeps=[]), False)


def test_a_run_is_seen_while_it_is_learnt(start_learning: Any) -> None:
    learning = start_learning("demo", steps=6)
    learning.until("run_started")
    assert (texts(only(board()))["state"], texts(only(board()))["progress"]) == ("running", "starting")
    learning.until("step", position=1, step=3)
    row = only(board())
    assert row.title == f"{learning.run} demo"
    assert (row.cells["strategy"].text, row.cells["strategy"].note) == ("finetune", "img_cap, aud_qa")
    shown = texts(row)
    assert (shown["state"], shown["progress"]) == ("running", "1/2 img_cap: step 3 of 6")
    assert float(shown["loss"]) > 0
    assert shown["left"].startswith("about ")
    assert row.progress is not None
    assert row.progress.share == pytest.approx(3 / 12)
    assert row.progress.seconds_left is not None
    learning.until("task_learned")
    shown = texts(only(board()))
    assert (shown["progress"], shown["scores"]) == ("1/2 img_cap: scoring, 0 of 1", "")
    learning.until("step", position=2, step=1)
    shown = texts(only(board()))
    assert shown["progress"] == "2/2 aud_qa: step 1 of 6"
    assert shown["scores"].startswith("img_cap ")
    assert shown["mfn"] == ""
    learning.finish()
    row = only(board())
    shown = texts(row)
    assert (shown["state"], shown["progress"], shown["left"]) == ("finished", "", "")
    assert shown["scores"].count(",") == 1
    assert "." in shown["mfn"]
    assert row.as_json()["progress"]["share"] == 1.0


def test_means_over_different_scales_are_marked(finished: str) -> None:
    row = only(board())
    assert row.data is not None
    mixture = row.as_json()["mixed_scales"]
    assert mixture.startswith("mixes scales (cider 0..1000, accuracy 0..100")
    for name in ("mfn", "bwt"):
        assert row.cells[name].text == f"{row.figures[name]:.2f}*"
        assert (row.cells[name].title, row.cells[name].sort) == (mixture, row.figures[name])
    alone = replace(row, data=replace(row.data, scales=dict.fromkeys(row.data.tasks, (0.0, 1.0))))
    assert (alone.cells["mfn"].text, alone.cells["mfn"].title) == (f"{row.figures['mfn']:.2f}", "")


def test_a_run_without_a_process_is_interrupted(start_learning: Any) -> None:
    learning = start_learning()
    learning.until("step", position=1, step=2)
    learning.leave()
    with Session(load_settings()).store() as store:  # as if the process had been killed before it could write that
        store.start_run(_again(store.run(learning.run)))
    shown = texts(only(board()))
    assert (shown["state"], shown["progress"], shown["left"]) == ("interrupted", "1/2 img_cap: step 2 of 6", "")


def _again(record: Any) -> Any:
    return NewRun(id=record.id, plan=record.plan, environment=record.environment)


def test_the_store_and_the_run_are_left_as_they_are(finished: str, isolated: Path) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        files = [path for path in isolated.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal"))]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    assert only(board()).record.id == finished
    assert state() == before
    with pytest.raises(StoreError, match="does not write"):
        WatchingSession(load_settings()).store()


def test_an_older_store_is_read_and_not_upgraded(isolated: Path, caplog: pytest.LogCaptureFixture) -> None:
    isolated.mkdir()
    file = isolated / "micl.db"
    shutil.copy(OLD, file)
    before = file.read_bytes()
    watch = Watch(WatchingSession(load_settings()), 200)
    count = len(watch.board().runs)
    watch._read = float("-inf")  # ask again
    assert len(watch.board().runs) == count > 0
    watch.close()
    assert caplog.text.count("a copy of it is upgraded") == 1, "the copy is kept while the store does not change"
    assert file.read_bytes() == before
    assert check(load_settings().store_url).state == "outdated"


def test_a_damaged_run_is_listed_and_the_others_are_too(finished: str, isolated: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(isolated / "micl.db")) as connection, connection:
        connection.execute("UPDATE stages SET status = 7, tasks = 'nothing' WHERE position = 1")
    row = only(board())
    assert (row.record.status, row.progress, "damaged" in texts(row)["progress"]) == ("damaged", None, True)
    assert row.as_json()["report"] is False


def test_older_runs_are_counted(finished: str) -> None:
    with Session(load_settings()).store() as store:
        record = store.run(finished)
        assert record is not None
        store.start_run(NewRun(id="bb22", plan=record.plan))
    found = board(limit=1)
    assert ([row.record.id for row in found.runs], found.older) == (["bb22"], 1)


def test_cells_of_a_sweep_that_have_not_started_are_waiting(finished: str, isolated: Path) -> None:
    from dataclasses import asdict

    from micl_cli.io.documents import write_document

    cells = tuple(CellRecord(run=run, strategy="moincl", order="o", seed=n) for n, run in enumerate((finished, "ab12")))
    record = SweepRecord(id="5a5a", started="2026-03-01T12:00:00Z", cells=cells)
    write_document(isolated / "sweeps" / "5a5a.json", asdict(record))
    (row,) = board().sweeps
    assert (row.states, row.summary) == ({finished: "finished", "ab12": "waiting"}, "1 of 2 finished, 1 waiting")
    assert (row.title, row.finished) == ("moincl: 1 order, 2 seeds", [finished])
    assert [report for _, report, _ in row.cells] == [True, False]


def test_a_stamp_changes_with_the_run(start_learning: Any) -> None:
    learning = start_learning()
    learning.until("step", position=1, step=1)
    watch = Watch(WatchingSession(load_settings()), 200)
    first = watch.stamp([learning.run])
    assert watch.stamp([learning.run]) == first
    learning.until("step", position=1, step=2)
    assert watch.stamp([learning.run]) != first
    with pytest.raises(StoreError, match="not in the store"):
        watch.stamp(["ab12"])
    watch.close()
