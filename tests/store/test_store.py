from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_cli.api.events import (
    Answered,
    Notice,
    PassProgress,
    Routed,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
    Validated,
)
from micl_cli.errors import StoreError, UsageError
from micl_cli.store import NewRun, PluginRecord, RoutingRecord, Store, TaskRecord

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


def test_a_prepared_task_comes_back_as_it_was(store):
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


# Events


def test_a_stage_is_kept_as_it_was_learnt(store, new_run, stage):
    store.start_run(new_run())
    events = stage()
    store.write(RUN, events[:1])
    (started,) = store.details(RUN).stages
    assert (started.status, started.examples, started.steps, started.checkpoint) == ("running", 64, 0, "")
    store.write(RUN, events)
    (learned,) = store.details(RUN).stages
    assert (learned.status, learned.tasks, learned.data_sha256) == ("learned", ("mini/img_cap",), ("ab" * 32,))
    assert (learned.steps, learned.examples, learned.seconds) == (2, 128, 1.5)
    assert (learned.peak_bytes, learned.stored_bytes, learned.checkpoint) == (3 * 2**32, 4000, "stage-1")


def test_the_passes_around_learning_are_timed_apart(store, new_run, stage):
    store.start_run(new_run())
    store.write(RUN, [replace(stage()[3], before_seconds=4.5, after_seconds=0.25)])
    (learned,) = store.details(RUN).stages
    assert (learned.before_seconds, learned.seconds, learned.after_seconds) == (4.5, 1.5, 0.25)


def test_routings_are_kept_with_their_counts(store, new_run):
    store.start_run(new_run())
    routed = Routed(after=1, task="a", router="ridge", n=4, chosen={"a": 3, "b": 1}, unsure=1, seconds=0.5, passes=1)
    store.write(RUN, [routed, replace(routed, seconds=0.25)])
    (found,) = store.details(RUN).routings
    assert found == RoutingRecord(
        after=1, task="a", split="test", router="ridge", n=4, chosen={"a": 3, "b": 1}, unsure=1, seconds=0.25, passes=1
    )


def test_joint_learning_has_one_stage_of_several_tasks(store, new_run):
    store.start_run(new_run())
    tasks = ["mini/img_cap", "mini/aud_qa"]
    store.write(RUN, [TaskStarted(position=1, tasks=tasks, examples=2, steps_planned=1, trainable_parameters=1)])
    assert store.details(RUN).stages[0].tasks == tuple(tasks)


def test_scores_are_exact_and_keep_every_metric_and_split(store, new_run):
    store.start_run(new_run())
    exact = 100 * 2 / 3
    main = Scored(after=1, task="mini/img_cap", metric="cider", value=exact, n=32)
    store.write(RUN, [main, replace(main, metric="bleu4", main=False), replace(main, split="val"), main])
    scores = store.details(RUN).scores
    assert [(s.metric, s.split, s.main) for s in scores] == [
        ("cider", "test", True),
        ("cider", "val", True),
        ("bleu4", "test", False),
    ]
    assert all(score.value == exact for score in scores)


def test_a_score_measured_again_takes_the_place_of_the_former(store, new_run):
    store.start_run(new_run())
    score = Scored(after=0, task="mini/img_cap", metric="cider", value=1.0, n=32)
    store.write(RUN, [score])
    store.write(RUN, [replace(score, value=2.0, n=16)])
    assert [(s.value, s.n) for s in store.details(RUN).scores] == [(2.0, 16)]


def test_a_diverging_run_is_still_recorded(store, new_run, step):
    store.start_run(new_run())
    nan, endless = float("nan"), float("inf")
    store.write(RUN, [step(1, 1, nan, terms={"answer": endless}), step(1, 2, endless)])
    store.write(RUN, [Scored(after=1, task="t", metric="m", value=nan, n=1)])
    assert [(s.loss, s.terms) for s in store.steps(RUN)] == [(None, {"answer": None}), (None, {})]
    assert store.details(RUN).scores[0].value is None


def test_other_events_leave_no_row(store, new_run):
    store.start_run(new_run())
    validated = Validated(position=1, step=1, epoch=1, value=1.0, best=True)
    store.write(RUN, [Notice(text="x"), PassProgress(position=1, when="before", done=1), validated])
    store.write(RUN, [])
    details = store.details(RUN)
    assert not details.stages and not details.scores and not store.steps(RUN)


def test_a_sequence_is_written_whole_or_not_at_all(store, new_run, stage):
    store.start_run(new_run())
    broken = TaskLearned(**{**vars(stage()[3]), "checkpoint": None})
    with pytest.raises(StoreError):
        store.write(RUN, [*stage()[:3], broken])
    assert not store.steps(RUN) and not store.details(RUN).stages


def test_writing_to_a_run_deleted_meanwhile_says_so(store, new_run, stage):
    store.start_run(new_run())
    store.delete_run(RUN)
    with pytest.raises(StoreError, match="run abc123 is not in the store") as caught:
        store.write(RUN, stage())
    assert "deleted" in caught.value.hint


steps = st.builds(
    Step,
    position=st.integers(1, 2),
    step=st.integers(1, 4),
    epoch=st.just(1),
    loss=st.floats(),
    lr=st.floats(0, 1),
    seconds=st.floats(0, 1),
)
scores = st.builds(
    Scored,
    after=st.integers(0, 2),
    task=st.sampled_from(["a", "b"]),
    metric=st.sampled_from(["accuracy", "cider"]),
    value=st.floats(),
    n=st.integers(0, 9),
)


@settings(max_examples=15, deadline=None)
@given(events=st.lists(steps | scores, max_size=12), cut=st.integers(0, 12))
def test_events_written_again_change_nothing(events, cut):
    with Store.open("sqlite://") as store:  # in memory
        for run in ("once", "again"):
            store.start_run(NewRun(id=run, plan={}))
        store.write("once", events)
        store.write("again", events[:cut])
        for _ in range(2):
            store.write("again", events)
        assert store.steps("again") == store.steps("once")
        assert store.details("again").scores == store.details("once").scores


def test_a_resumed_run_does_not_repeat_its_series(store, new_run, step):
    store.start_run(new_run())
    store.start_run(new_run("other"))
    for run in (RUN, "other"):
        store.write(run, [step(p, n) for p in (1, 2, 3) for n in (1, 2, 3)])
    store.discard_after(RUN, 2, 1)
    assert [(s.position, s.step) for s in store.steps(RUN)] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert len(store.steps("other")) == 9


# Predictions


def test_predictions_keep_their_order_and_replace_former_ones(store, new_run):
    store.start_run(new_run())
    rows = [("b", "a döG\x00", ("a dog", "dog")), ("a", "", ())]
    store.write_predictions(RUN, 1, "mini/aud_qa", "test", [("z", "old", ())])
    store.write_predictions(RUN, 1, "mini/aud_qa", "test", rows)
    assert store.predictions(RUN, 1, "mini/aud_qa", "test") == tuple(rows)
    assert store.predictions(RUN, 2, "mini/aud_qa", "test") == ()


def test_answers_come_as_events_too(store, new_run):
    store.start_run(new_run())
    answered = Answered(after=1, task="t", split="test", rows=[("a", "yes", ("yes",))])
    store.write(RUN, [answered, replace(answered, rows=[("a", "no", ("yes",))])])
    (row,) = store.predictions(RUN, 1, "t", "test")
    assert (row.example, row.answer, row.references) == ("a", "no", ("yes",))


# Deleting


def test_deleting_a_run_deletes_its_rows_and_no_others(store, new_run, stage):
    for run in (RUN, "other"):
        store.start_run(new_run(run, plugins=(MOINCL,)))
        store.write(run, stage())
        store.write_predictions(run, 1, "t", "test", [("a", "b", ())])
    store.delete_run(RUN)
    with store.engine.connect() as connection:
        for table in ("run_plugins", "stages", "scores", "steps", "predictions"):
            assert set(connection.exec_driver_sql(f"SELECT run FROM {table}").scalars()) == {"other"}


def test_a_run_that_others_go_on_from_is_only_deleted_by_force(store, new_run):
    store.start_run(new_run("base"))
    store.start_run(new_run("child", parent="base"))
    with pytest.raises(StoreError, match="other runs go on from it") as caught:
        store.delete_run("base")
    assert "child" in caught.value.hint
    store.delete_run("base", force=True)
    assert [(run.id, run.parent) for run in store.runs()] == [("child", "base")]


# Names


@pytest.fixture
def named(store, new_run):
    for run, name in (("3f2a", "first"), ("3f9b", "twin"), ("77aa", "twin"), ("3f", ""), ("first-id", "77")):
        store.start_run(new_run(run, name=name))
    return store


@pytest.mark.parametrize(
    ("text", "run"),
    [("@last", "first-id"), ("3f2a", "3f2a"), ("3f2", "3f2a"), ("3f", "3f"), ("77a", "77aa")],
)
def test_a_run_is_named_by_id_prefix_or_last(named, text, run):
    assert named.resolve(text) == run


def test_a_run_is_named_by_its_only_name(store, new_run):
    store.start_run(new_run("3f2a", name="order 1"))
    assert store.resolve("order 1") == "3f2a"


def test_last_is_the_run_resumed_last(named, new_run):
    named.start_run(new_run("3f2a"))
    assert named.resolve("@last") == "3f2a"


@pytest.mark.parametrize(("text", "candidates"), [("twin", {"3f9b", "77aa"}), ("77", {"77aa", "first-id"})])
def test_several_candidates_are_named(named, text, candidates):
    with pytest.raises(UsageError, match="matches 2 runs") as caught:
        named.resolve(text)
    assert all(run in caught.value.hint for run in candidates)


@pytest.mark.parametrize("text", ["", "%", "_f2a", "3F2A", "nothing like it"])
def test_an_unknown_run_is_refused(named, text):
    with pytest.raises(UsageError, match="no run"):
        named.resolve(text)


def test_the_nearest_name_is_told(named):
    with pytest.raises(UsageError) as caught:
        named.resolve("firts")
    assert "first" in caught.value.hint


def test_an_empty_store_says_how_to_begin(store):
    with pytest.raises(UsageError, match="no runs yet") as caught:
        store.resolve("@last")
    assert "micl learn" in caught.value.hint
