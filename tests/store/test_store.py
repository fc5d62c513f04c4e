from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from micl_cli.errors import StoreError
from micl_cli.store import PluginRecord, PredictionRecord, TaskRecord

RUN = "abc123"
TASK = TaskRecord(
    name="mini/img_cap",
    modalities=("image",),
    type="captioning",
    metric="cider",
    sha256="ab" * 32,
    counts={"train": 640, "val": 64, "test": 128},
    path="/data/mini/img_cap",
    prepared="2026-03-01T12:00:00Z",
)
MOINCL = PluginRecord(kind="strategies", name="moincl", distribution="micl-cli", version="1.0")


def test_records_need_no_sqlalchemy():
    code = "import micl_cli.store, sys; sys.exit('sqlalchemy' in sys.modules or 'alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Tasks


def test_a_prepared_task_is_read_as_it_was_written(store):
    store.record_task(TASK)
    assert store.task("mini/img_cap") == TASK
    assert store.task("mini/aud_qa") is None


@pytest.mark.parametrize("modalities", [(), ("audio", "image")], ids=["text alone", "two modalities"])
def test_a_task_may_have_any_number_of_modalities(store, modalities):
    store.record_task(replace(TASK, modalities=modalities))
    assert store.task(TASK.name).modalities == modalities


def test_preparing_again_replaces_the_task_and_dates_it(store):
    store.record_task(TASK)
    store.record_task(replace(TASK, sha256="cd" * 32, prepared=""))
    assert store.task(TASK.name).sha256 == "cd" * 32
    assert store.task(TASK.name).prepared > TASK.prepared


def test_tasks_are_listed_by_name(store):
    for name in ("mini/vid_qa", "mini/aud_qa"):
        store.record_task(replace(TASK, name=name))
    assert [task.name for task in store.tasks()] == ["mini/aud_qa", "mini/vid_qa"]


# Runs


def test_a_run_is_kept_with_its_plan_environment_and_parts(store, new_run):
    store.start_run(new_run(name="first", environment={"device": "cpu"}, plugins=(MOINCL,)))
    details = store.details(RUN)
    assert (details.run.status, details.run.name, details.run.parent) == ("running", "first", None)
    assert details.run.plan == {"strategy": "moincl"}
    assert details.run.environment == {"device": "cpu"}
    assert details.run.started.endswith("Z") and details.run.finished == ""
    assert details.plugins == (MOINCL,)


def test_starting_again_resumes_the_same_row(store, new_run, stage):
    store.start_run(new_run(name="first", parent="p", plugins=(MOINCL,)))
    store.write(RUN, stage())
    store.end_run(RUN, "failed", "the disk is full")
    store.start_run(new_run(environment={"device": "cuda"}, plugins=(replace(MOINCL, version="2.0"),)))
    (run,) = store.runs()
    assert (run.status, run.error, run.finished) == ("running", "", "")
    assert (run.name, run.parent, run.environment) == ("first", "p", {"device": "cuda"})
    assert [plugin.version for plugin in store.details(RUN).plugins] == ["2.0"]
    assert len(store.details(RUN).stages) == 1


@pytest.mark.parametrize("status", ["finished", "interrupted", "failed"])
def test_a_run_ends(store, new_run, status):
    store.start_run(new_run())
    store.end_run(RUN, status, "why")
    run = store.run(RUN)
    assert (run.status, run.error) == (status, "why")
    assert run.finished >= run.started


def test_an_interrupted_run_leaves_no_stage_running(store, new_run, stage):
    store.start_run(new_run())
    store.write(RUN, stage(1) + stage(2)[:2])
    store.end_run(RUN, "interrupted")
    assert [s.status for s in store.details(RUN).stages] == ["learned", "interrupted"]


def test_an_end_that_is_none_is_refused(store, new_run):
    store.start_run(new_run())
    with pytest.raises(ValueError, match="done"):
        store.end_run(RUN, "done")


def test_runs_are_listed_newest_first_even_within_one_second(store, new_run):
    for run in ("r1", "r2", "r3", "r1"):
        store.start_run(new_run(run))
    assert [run.id for run in store.runs()] == ["r1", "r3", "r2"]
    assert [run.id for run in store.runs(limit=2)] == ["r1", "r3"]


def test_unknown_runs(store):
    assert store.run("nope") is None
    for ask in (store.details, store.delete_run, lambda run: store.end_run(run, "failed")):
        with pytest.raises(StoreError, match="nope"):
            ask("nope")


# Deleting


def test_deleting_a_run_deletes_its_rows_and_no_others(store, new_run, stage):
    for run in (RUN, "other"):
        store.start_run(new_run(run, plugins=(MOINCL,)))
        store.write(run, stage())
        store.write_predictions(run, 1, "t", "test", [PredictionRecord("a", "b")])
    store.delete_run(RUN)
    with store.engine.connect() as connection:
        for table in ("run_plugins", "stages", "scores", "steps", "predictions"):
            assert set(connection.exec_driver_sql(f"SELECT run FROM {table}").scalars()) == {"other"}


def test_a_run_that_others_go_on_from_is_only_deleted_by_force(store, new_run):
    store.start_run(new_run("base"))
    store.start_run(new_run("child", parent="base"))
    with pytest.raises(StoreError, match="other runs continue it") as caught:
        store.delete_run("base")
    assert "child" in caught.value.hint
    store.delete_run("base", force=True)
    assert [(run.id, run.parent) for run in store.runs()] == [("child", "base")]


def test_a_run_is_tagged_and_untagged(store, new_run):
    store.start_run(new_run())
    store.tag_run("abc123", add=["paper", "old", "paper"])
    store.tag_run("abc123", add=["new"], remove=["old", "unknown"])
    assert store.run("abc123").tags == ("new", "paper")
    store.start_run(new_run())  # resumed
    assert store.run("abc123").tags == ("new", "paper")
    store.delete_run("abc123")
    assert store.runs() == []
    with pytest.raises(StoreError, match="not in the store"):
        store.tag_run("abc123", add=["paper"])


def test_results_have_the_main_scores_of_intact_runs(store, new_run, stage):
    for run in ("aa11", "bb22", "cc33"):
        store.start_run(new_run(run))
        store.write(run, stage())
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stages SET steps = 'x' WHERE run = 'bb22'")
    found = store.results([run for run in store.runs() if run.id != "cc33"])
    assert list(found) == ["aa11"]
    assert [score.value for score in found["aa11"].scores] == [93.125]
    assert [each.seconds for each in found["aa11"].stages] == [1.5]
