"""Removal of runs: nothing outside the home is touched, and what could not be removed is said."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from micl_cli.settings import load_settings
from micl_cli.store import Store


def change(home: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(home / "micl.db")) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(statement, values)
        connection.commit()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("kept")
    return tmp_path / "victim"


def stuck(monkeypatch: pytest.MonkeyPatch, stem: str) -> None:
    """Let no file whose name begins with ``stem`` be removed, also by the superuser."""
    unlink = os.unlink

    def refuse(path: Any, *, dir_fd: int | None = None) -> None:
        if Path(os.fspath(path)).name.startswith(stem):
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)


@pytest.mark.parametrize("absolute", [False, True])
def test_an_id_that_leads_elsewhere_removes_no_file(
    finished: str, micl: Any, isolated: Path, victim: Path, absolute: bool
) -> None:
    change(isolated, "UPDATE runs SET id = ?", str(victim) if absolute else "../../victim")
    for words in (
        ("runs", "show"),
        ("report",),
        ("eval",),
        ("learn", "--resume"),
        ("learn", "--tasks", "own/img_qa", "--after"),
    ):
        done = micl(*words, "@last")
        assert (done.code, "is damaged in the store: its id" in done.err) == (1, True), done.err
    assert "damaged" in micl("runs").out
    done = micl("runs", "rm", "@last", "--yes")
    assert done.code == 0
    assert (victim / "precious").read_text() == "kept"
    assert [path.name for path in victim.iterdir()] == ["precious"]
    assert (isolated / "runs" / finished / "stages").is_dir()
    assert "no runs yet" in micl("runs").err


def test_of_a_run_that_is_a_link_only_the_link_is_removed(
    finished: str, micl: Any, isolated: Path, victim: Path
) -> None:
    folder = isolated / "runs" / finished
    folder.rename(isolated / "elsewhere")
    folder.symlink_to(victim)
    assert micl("runs", "rm", finished, "--yes").code == 0
    assert not folder.is_symlink()
    assert [path.name for path in victim.iterdir()] == ["precious"]


def test_a_run_whose_files_remain_is_still_listed(
    finished: str, micl: Any, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stuck(patch, "stage.json")
        done = micl("runs", "rm", finished, "--yes")
    assert done.code == 1
    assert f"run {finished} was not removed: 2 files could not be removed" in done.err
    assert "stages/01/stage.json (Permission denied)" in done.err
    assert "removed " + finished not in done.err.splitlines()
    assert finished in micl("runs").out
    assert micl("runs", "rm", finished, "--yes").code == 0
    assert not (isolated / "runs" / finished).exists()
    assert finished not in micl("runs").out


def test_files_go_first_and_a_store_that_cannot_be_written_then_is_said(
    finished: str, micl: Any, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present: list[bool] = []

    def full(self: Store, run: str, *, force: bool = False) -> None:
        from micl_cli.errors import StoreError

        present.append((isolated / "runs" / run).exists())
        raise StoreError("the run store cannot grow: the disk is full", "Free some space.")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete_run", full)
        done = micl("runs", "rm", finished, "--yes")
    assert (done.code, present) == (1, [False])
    assert f"the files of run {finished} are removed, but it is still in the store" in done.err
    assert micl("runs", "rm", finished, "--yes").code == 0


def test_a_run_is_removed_where_there_is_no_room_for_a_transaction(
    finished: str, micl: Any, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Store, run: str, *, force: bool = False) -> None:
        from micl_cli.errors import StoreError

        raise StoreError("full", "Free some space.") from sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "delete_run", full)
    done = micl("runs", "rm", finished, "--yes")
    assert (done.code, done.err) == (0, f"removed {finished}\n")
    with closing(sqlite3.connect(isolated / "micl.db")) as connection:
        for table in ("runs", "stages", "scores", "steps", "run_plugins"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_store_that_may_not_be_written_keeps_the_files(
    finished: str, micl: Any, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    done = micl("runs", "rm", finished, "--yes")
    assert (done.code, "cannot be written to" in done.err) == (1, True)
    assert (isolated / "runs" / finished / "stages" / "01").is_dir()


def test_one_run_that_remains_does_not_stop_the_others(finished: str, micl: Any) -> None:
    child = micl("learn", "--after", finished, "--tasks", "own/img_qa").out.strip()
    done = micl("runs", "rm", finished, child, "--yes")
    assert done.code == 1
    assert f"removed {child}" in done.err
    assert f"1 of 2 runs were not removed: {finished}" in done.err


def test_a_lease_of_another_machine_keeps_the_run(finished: str, micl: Any, isolated: Path) -> None:
    with Store.open(load_settings().store_url) as store:
        store.acquire_lease(finished, "node7:/home/ada#1-2")
    done = micl("runs", "rm", finished, "--yes")
    assert (done.code, f"node7:/home/ada works on run {finished}" in done.err) == (1, True)
    assert (isolated / "runs" / finished / "stages").is_dir()


def test_a_home_that_is_renamed_goes_on_at_once(
    finished: str, micl: Any, isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micl_cli.session.lease import lease_holder

    settings = load_settings()
    with Store.open(settings.store_url) as store:
        store.acquire_lease(finished, lease_holder(settings))  # as a killed process leaves it
    isolated.rename(tmp_path / "renamed")
    monkeypatch.setenv("MICL_HOME", str(tmp_path / "renamed"))
    assert micl("runs", "rm", finished, "--yes").code == 0
