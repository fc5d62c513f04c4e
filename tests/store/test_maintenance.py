from __future__ import annotations

import sqlite3

from micl_cli.store import check, locate


def change(file, *statements):
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_store(old, url):
    found = check(url)
    assert (found.state, found.revision, found.expected) == ("ok", "0008", "0008")
    assert (found.runs, found.tasks, found.problems) == (4, 4, ())


def test_checking_creates_nothing(file, url):
    assert check(url).state == "missing"
    assert not file.parent.exists()


def test_an_older_store_is_not_upgraded_by_checking(later, old, url):
    found = check(url)
    assert (found.state, found.revision, found.expected, found.runs) == ("outdated", "0008", "0009", 4)
    assert check(url).revision == "0008"


def test_a_newer_store_is_distinguished_from_an_older_one(old, url):
    change(old, "UPDATE alembic_version SET version_num = '0999'", "DROP TABLE tasks")
    found = check(url)
    assert (found.state, found.revision, found.runs, found.tasks) == ("newer", "0999", 4, 0)


def test_rows_that_refer_to_nothing_are_named(old, url):
    change(old, "DELETE FROM runs WHERE id = '3f2a9c0d1b7e'")
    found = check(url)
    assert found.state == "damaged"
    assert any("scores" in problem and "runs" in problem for problem in found.problems)


def test_a_store_is_located_without_its_password():
    assert locate("sqlite:////home/ada/micl.db") == "/home/ada/micl.db"
    assert locate("postgresql://ada:secret@host/micl") == "postgresql://ada:***@host/micl"
