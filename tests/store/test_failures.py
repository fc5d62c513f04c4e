from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import event

from micl_cli.errors import StoreError
from micl_cli.store import PredictionRecord, Store, TaskRecord, check, upgrade


def refused(opening, url):
    with pytest.raises(StoreError) as caught:
        opening(url)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("opening", [Store.open, upgrade, check])
def test_a_file_that_is_no_database(file, url, opening):
    file.parent.mkdir()
    file.write_text("These are my notes, and not a database. " * 50)
    before = file.read_bytes()
    assert "is not an SQLite database" in refused(opening, url)
    assert file.read_bytes() == before


@pytest.mark.parametrize("opening", [Store.open, upgrade, check])
def test_a_folder_in_the_stores_place(file, url, opening):
    file.mkdir(parents=True)
    assert "cannot be opened" in refused(opening, url)


def test_a_file_in_the_folders_place(file, url):
    file.parent.write_text("")
    assert "cannot be created" in refused(Store.open, url)


def test_a_truncated_store(old, url):
    content = old.read_bytes()
    old.write_bytes(content[: len(content) // 2])
    assert "damaged" in refused(lambda url: Store.open(url).details("3f2a9c0d1b7e"), url)


@pytest.mark.parametrize(
    "url", ["micl.db", "sqlite", "nosuch:///x", "nosuchdriver+sqlite:///x", "sqlite+nosuch:///x", ""]
)
def test_a_url_without_a_database(url):
    refused(Store.open, url)


def test_a_server_that_does_not_answer_and_whose_password_stays_hidden():
    message = refused(Store.open, "postgresql+psycopg2://ada:secret@localhost:1/micl")
    assert "secret" not in message


def test_a_store_that_may_only_be_read_can_be_read(old, new_run):
    with Store.open(f"sqlite:///file:{old}?mode=ro&uri=true") as store:
        assert len(store.runs()) == 4
        with pytest.raises(StoreError, match="cannot be written") as caught:
            store.start_run(new_run())
    assert "writable" in caught.value.hint


def test_a_full_disk_stops_the_write_and_keeps_what_was_there(store, new_run, stage):
    store.start_run(new_run())
    store.write("abc123", stage())

    @event.listens_for(store.engine, "checkout")
    def limit(connection, *_):
        connection.execute("PRAGMA max_page_count=1")  # never below the present size

    with pytest.raises(StoreError, match="the disk is full") as caught:
        store.write_predictions("abc123", 1, "t", "test", [PredictionRecord(str(n), "x" * 1000) for n in range(100)])
    assert "Free some space" in caught.value.hint
    assert len(store.details("abc123").scores) == 1
    assert store.predictions("abc123", 1, "t", "test") == ()


def test_a_file_that_may_not_grow(url, file):
    code = """
import resource, signal, sys
from micl_cli.errors import StoreError
from micl_cli.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    Store.open(sys.argv[1])
except StoreError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"the run store {file} cannot")
    with Store.open(url) as store:
        assert store.runs() == []


def test_a_path_that_is_not_unicode(store):
    task = TaskRecord(name="a/b", modalities=(), type="", metric="", sha256="", counts={}, path="/caf\udce9")
    with pytest.raises(StoreError, match="Unicode"):
        store.record_task(task)


def test_errors_of_this_program_stay_as_they_are(store, new_run):
    with pytest.raises(Exception, match="JSON serializable") as caught:
        store.start_run(new_run(environment={"device": object()}))
    assert not isinstance(caught.value, StoreError)
