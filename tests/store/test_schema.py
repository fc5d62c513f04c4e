from __future__ import annotations

import hashlib
import logging
import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from micl_cli.errors import StoreError
from micl_cli.records import ScoreRecord
from micl_cli.store import Store, schema, upgrade
from micl_cli.store.connect import connect, parse_url
from micl_cli.store.models import Base

NEWER = "0999"
BROKEN = """
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade():
    op.execute("CREATE TABLE half (done INTEGER)")
    op.execute("DELETE FROM scores")
    op.execute("SELECT nonsense")
"""


def everything(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def rows(file, table):
    connection = sqlite3.connect(file)
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def test_the_models_and_the_migrations_agree(store):
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_constant_head_is_the_head_of_the_migrations():
    folder = str(schema.MIGRATIONS).replace("%", "%%")
    assert ScriptDirectory(folder).get_current_head() == schema.HEAD


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mysql"])
def test_servers_can_make_the_tables(dialect):
    for table in Base.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))


def test_a_new_store_is_made_with_its_folder(file, url):
    with Store.open(url) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert [path.name for path in file.parent.iterdir()] == ["micl.db"]


@pytest.mark.parametrize("written", ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "old"])
def test_a_store_of_each_schema_opens_with_all_its_content(request, written, url):
    request.getfixturevalue(written)
    with Store.open(url) as store:
        assert [run.id for run in store.runs()][-2:] == ["77aa01", "3f2a9c0d1b7e"]
        assert store.run("77aa01").error == "the disk is full"
        details = store.details(store.resolve("first light"))
        assert [plugin.name for plugin in details.plugins] == ["composed", "moincl"]
        assert [(s.position, s.status, s.peak_bytes) for s in details.stages] == [
            (1, "learned", 3 * 2**32),
            (2, "learned", 3 * 2**32),
        ]
        assert details.scores[0] == ScoreRecord(
            after=1, task="mini/img_cap", metric="cider", value=93.125, n=128, split="test", main=True
        )
        assert [step.loss for step in store.steps(details.run.id)] == [2.5, None, 2.5, None]
        assert [row.example for row in store.predictions(details.run.id, 2, "mini/aud_qa", "test")] == ["a2", "a1"]
        assert [step.terms for step in store.steps(details.run.id)] == [{"answer": 2.0, "distillation": 0.5}, {}] * 2
        known = {task.name: (task.modalities, task.type, task.counts["train"]) for task in store.tasks()}
        assert known["mini/aud_qa"] == (("audio",), "qa", 640)
        assert known["mini/img_cap"] == (("image",), "captioning", 640)


def test_a_run_of_an_upgraded_store_is_deleted_with_its_rows(third, url):
    with Store.open(url) as store:
        store.delete_run("3f2a9c0d1b7e", force=True)
    for table in ("run_plugins", "stages", "scores", "steps", "predictions", "routings"):
        assert rows(third, table) == []


def test_scores_of_an_older_store_do_not_tell_of_cut_answers(fourth, url):
    with Store.open(url) as store:
        assert {score.cut for score in store.details("3f2a9c0d1b7e").scores} == {None}


def test_scores_and_answers_of_an_older_store_have_no_version_and_no_score(fifth, url):
    with Store.open(url) as store:
        scores = store.details("3f2a9c0d1b7e").scores
        answers = store.predictions("3f2a9c0d1b7e", 2, "mini/aud_qa", "test")
    assert {(s.version, s.prompts, s.scorer, s.missing, len(s.figures)) for s in scores} == {(None, "", "", 0, 0)}
    assert [(answer.score, answer.missing) for answer in answers] == [(None, False)] * 2


def test_how_a_score_was_made_is_kept(old, url):
    with Store.open(url) as store:
        (score,) = store.details("b60e").scores
        answers = store.predictions("b60e", 1, "own/news", "test")
    assert (score.version, score.prompts, score.scorer, score.missing) == (2, "published", "release", 1)
    assert score.figures == {"politics": 75.0, "sports": None}
    assert [(each.example, each.score, each.missing) for each in answers] == [
        ("n1", 100.0, False),
        ("n2", 0.0, True),
        ("n3", 50.0, False),
    ]


def test_the_environment_of_an_older_run_is_that_of_its_latest_start(sixth, url):
    with Store.open(url) as store:
        (known,) = store.details("3f2a9c0d1b7e").environments
        assert store.run("3f2a9c0d1b7e").recipe is None
    assert (known.purpose, known.position, known.step) == ("learning", 1, 0)
    assert known.environment == {"device": "cpu", "torch": "2.13.0"}


def test_a_row_without_an_environment_does_not_prevent_an_upgrade(sixth, url):
    with closing(sqlite3.connect(sixth)) as connection:
        connection.execute("UPDATE runs SET environment = '{' WHERE id = '77aa01'")
        connection.commit()
    with Store.open(url) as store:
        assert [run.status for run in store.runs()].count("damaged") == 1
        assert store.details("3f2a9c0d1b7e").environments


def test_recipe_and_environments_are_kept(old, url):
    with Store.open(url) as store:
        details = store.details("b60e")
    assert details.run.recipe == {"name": "tuned-moincl", "sha256": "ab" * 32, "citation": "Ada (2026)"}
    known = [
        (each.purpose, each.position, each.step, each.environment["threads"], each.environment["code"])
        for each in details.environments
    ]
    assert known == [
        ("learning", 1, 0, 1, "a7078ecf6d83"),
        ("learning", 1, 40, 2, "a7078ecf6d83"),
        ("scoring", 1, 0, 1, "0123456789ab"),
    ]


def test_tags_are_kept_and_runs_of_an_older_store_have_none(old, url):
    with Store.open(url) as store:
        assert {run.id: run.tags for run in store.runs() if run.tags} == {
            "b60e": ("baseline", "paper"),
            "3f2a9c0d1b7e": ("paper",),
        }


def test_runs_of_a_store_without_tags_can_be_tagged(seventh, url):
    with Store.open(url) as store:
        assert {run.tags for run in store.runs()} == {()}
        store.tag_run("b60e", add=["paper"])
        assert store.run("b60e").tags == ("paper",)


def test_the_number_of_cut_answers_is_kept(old, url):
    with Store.open(url) as store:
        (score,) = store.details("5e0d").scores
    assert (score.cut, score.n, score.cut_share) == (22, 40, 55.0)


def test_passes_and_tasks_without_and_with_several_modalities_are_kept(old, url):
    with Store.open(url) as store:
        (stage,) = store.details("5e0d").stages
        assert (stage.before_seconds, stage.seconds, stage.after_seconds) == (2.5, 12.5, 0.75)
        assert (store.task("own/news").modalities, store.task("own/talks").modalities) == ((), ("audio", "image"))


def test_stages_of_an_older_store_had_no_passes(third, url):
    with Store.open(url) as store:
        stages = store.details("3f2a9c0d1b7e").stages
    assert [(stage.before_seconds, stage.after_seconds) for stage in stages] == [(0.0, 0.0)] * 2


def test_routings_are_kept_with_their_counts(old, url):
    with Store.open(url) as store:
        (routing,) = store.details("3f2a9c0d1b7e").routings
    assert (routing.router, routing.n, routing.chosen) == ("ridge", 128, {"mini/img_cap": 126, "mini/aud_qa": 2})


@pytest.mark.parametrize("written", ["third", "old"])
def test_leases_are_kept_with_their_time(request, written, url):
    request.getfixturevalue(written)
    with Store.open(url) as store:
        assert store.lease_holder("77aa01", now=1_700_000_000.0) == "node-1:/home/ada/.micl"
        assert store.lease_holder("77aa01") is None


def test_opening_a_store_that_is_up_to_date_changes_nothing(old, url):
    before = everything(old.parent)
    Store.open(url).close()
    assert everything(old.parent) == before


# Upgrading


def test_an_older_store_is_copied_and_upgraded_on_opening(later, old, url, caplog):
    kept_scores, kept_plugins = rows(old, "scores"), rows(old, "run_plugins")
    with caplog.at_level(logging.WARNING), Store.open(url) as store:
        assert len(store.runs()) == 4
    assert [row[-1] for row in rows(old, "runs")] == ["none"] * 4
    # The table that others refer to was built anew, and their rows are still there.
    assert (rows(old, "scores"), rows(old, "run_plugins")) == (kept_scores, kept_plugins)
    (copy,) = old.parent.glob("micl-0008-*.db")
    assert rows(copy, "alembic_version") == [("0008",)]
    assert rows(copy, "scores") == kept_scores
    assert str(copy) in caplog.text


def test_upgrade_returns_what_it_applied(later, old, url):
    assert upgrade(url) == ["0009"]
    assert upgrade(url) == []
    assert len(list(old.parent.glob("micl-0008-*.db"))) == 1


def test_upgrade_makes_a_store_where_there_is_none(file, url):
    assert upgrade(url) == ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"]
    assert [path.name for path in file.parent.iterdir()] == ["micl.db"]


def test_a_failed_upgrade_leaves_the_store_as_it_was(later, old, url):
    (later / "versions" / "schema_0009.py").write_text(BROKEN)
    before = rows(old, "scores")
    with pytest.raises(StoreError, match="nonsense"):
        Store.open(url)
    assert rows(old, "scores") == before
    assert rows(old, "alembic_version") == [("0008",)]
    with pytest.raises(sqlite3.OperationalError):
        rows(old, "half")


def test_without_room_for_the_copy_nothing_is_upgraded(later, old, url, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "_back_up", full)
    with pytest.raises(StoreError, match="the disk is full"):
        Store.open(url)
    assert rows(old, "alembic_version") == [("0008",)]


# Refusing


@pytest.mark.parametrize("opening", [Store.open, upgrade])
def test_a_store_of_a_newer_program_is_refused_untouched(old, url, opening):
    connection = sqlite3.connect(old)
    connection.execute("UPDATE alembic_version SET version_num = ?", [NEWER])
    connection.commit()
    connection.close()
    before = everything(old.parent)
    with pytest.raises(StoreError, match="newer micl") as caught:
        opening(url)
    assert NEWER in caught.value.message
    assert "pgrade micl" in caught.value.hint and "MICL_HOME" in caught.value.hint
    assert everything(old.parent) == before


@pytest.mark.parametrize("opening", [Store.open, upgrade])
def test_another_programs_database_is_refused_untouched(file, url, opening):
    file.parent.mkdir()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    before = everything(file.parent)
    with pytest.raises(StoreError, match="another program"):
        opening(url)
    assert everything(file.parent) == before


@pytest.mark.parametrize(("prepared", "state"), [(False, "no tables yet"), (True, "older schema 0008")])
def test_a_servers_store_is_only_upgraded_on_request(request, url, file, monkeypatch, prepared, state):
    if prepared:
        request.getfixturevalue("old")
        request.getfixturevalue("later")
    else:
        file.parent.mkdir()
    engine = connect(parse_url(url))
    monkeypatch.setattr(engine.dialect, "name", "postgresql")
    with pytest.raises(StoreError, match=state) as caught:
        schema.ensure(engine)
    assert "micl store upgrade" in caught.value.hint
    engine.dispose()


def test_a_repeated_upgrade_makes_no_second_copy_of_the_same_store(later, old, url):
    good = (later / "versions" / "schema_0009.py").read_text()
    (later / "versions" / "schema_0009.py").write_text(BROKEN)
    (old.parent / "micl-0008-20260101T000000Z.db.part").write_text("half")
    for _ in range(2):
        with pytest.raises(StoreError):
            Store.open(url)
    (first,) = old.parent.glob("micl-0008-*")
    first.rename(old.parent / "micl-0008-20260101T000000Z.db")  # as if it were older
    (later / "versions" / "schema_0009.py").write_text(good)
    assert upgrade(url) == ["0009"]
    assert [path.name for path in old.parent.glob("micl-0008-*")] == ["micl-0008-20260101T000000Z.db"]
