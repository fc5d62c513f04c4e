"""Stores that cannot be written to are still read."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from micl_cli.errors import StoreError
from micl_cli.store import Store, check, reading


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Let the folder of the store seem read-only, also to the superuser: neither files next to it nor writes."""
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    connect = sqlite3.connect

    def guarded(name: object, *args: object, **more: object) -> sqlite3.Connection:
        plain = str(name).startswith(str(file)) or (str(file) in str(name) and "immutable" not in str(name))
        if plain and "mode=memory" not in str(name):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(name, *args, **more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", guarded)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", guarded)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_store_in_a_read_only_folder_is_read_and_refuses_writes(old, url, refusing, new_run):
    before = everything(old.parent)
    with Store.open_to_read(url) as store:
        assert len(store.runs()) == 4
        assert store.resolve("first light") == "3f2a9c0d1b7e"
        with pytest.raises(StoreError, match="cannot be written to"):
            store.start_run(new_run())
    assert check(url).state == "ok"
    assert everything(old.parent) == before


def test_transactions_that_are_only_in_the_log_are_read_too(store, file, url, new_run, request):
    store.start_run(new_run("aa11"))
    folder = file.parent.with_name("copied")
    folder.mkdir()
    for path in file.parent.glob("micl.db*"):  # as a killed process leaves them
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder)
    store.close()
    shutil.rmtree(file.parent)
    folder.rename(file.parent)
    assert reading.has_journal(file)
    request.getfixturevalue("refusing")
    with Store.open_to_read(url) as read:
        assert [run.id for run in read.runs()] == ["aa11"]
        with pytest.raises(StoreError, match="cannot be written to"):
            read.start_run(new_run("bb22"))


def test_an_older_store_is_read_from_an_upgraded_copy_which_is_said(third, url, refusing, new_run, caplog):
    before = everything(third.parent)
    with Store.open_to_read(url) as store:
        assert store.details("3f2a9c0d1b7e").run.name == "first light"
        with pytest.raises(StoreError, match="cannot be written to"):
            store.start_run(new_run())
    assert "has schema 0003 and is only read" in caplog.text
    assert everything(third.parent) == before
    assert check(url).state == "outdated"


def test_a_store_that_can_be_written_is_upgraded_when_it_is_read(third, url):
    with Store.open_to_read(url) as store:
        assert len(store.runs()) == 2
    with closing(sqlite3.connect(third)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0008",)


def test_completion_leaves_an_older_store_as_it_is(third, url):
    before = everything(third.parent)
    with pytest.raises(StoreError, match="schema 0003"):
        Store.open_as_it_is(url)
    assert everything(third.parent)["micl.db"] == before["micl.db"]


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a#b", "a b", "ä", "a&mode=memory"])
def test_the_folder_of_a_store_may_have_any_name(tmp_path, name, new_run, monkeypatch):
    from micl_cli.settings import load_settings

    monkeypatch.setenv("MICL_HOME", str(tmp_path / name))
    url = load_settings().store_url
    with Store.open(url) as store:
        store.start_run(new_run("aa11"))
        assert store.location == str(tmp_path / name / "micl.db")
    assert (tmp_path / name / "micl.db").is_file()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
        with Store.open_to_read(url) as store:
            assert [run.id for run in store.runs()] == ["aa11"]
    assert check(url).state == "ok"
    assert [path.name for path in tmp_path.iterdir() if path.name[:1] == name[:1] == "a" or path.name == name] == [name]
