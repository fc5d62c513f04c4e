"""What events leave in the store."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

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
from micl_cli.errors import StoreError
from micl_cli.store import EnvironmentRecord, NewRun, PredictionRecord, RoutingRecord, Store

RUN = "abc123"


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


def test_only_the_steps_of_the_repeated_stage_are_discarded(store, new_run, step):
    store.start_run(new_run())
    store.start_run(new_run("other"))
    for run in (RUN, "other"):
        store.write(run, [step(p, n) for p in (1, 2, 3) for n in (1, 2, 3)])
    store.discard_after(RUN, 2, 1)
    assert [(s.position, s.step) for s in store.steps(RUN)] == [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2), (3, 3)]
    assert len(store.steps("other")) == 9


def test_predictions_keep_their_order_and_replace_former_ones(store, new_run):
    store.start_run(new_run())
    rows = [PredictionRecord("b", "a döG\x00", ("a dog", "dog"), 30.0), PredictionRecord("a", "", missing=True)]
    store.write_predictions(RUN, 1, "mini/aud_qa", "test", [PredictionRecord("z", "old")])
    store.write_predictions(RUN, 1, "mini/aud_qa", "test", rows)
    assert store.predictions(RUN, 1, "mini/aud_qa", "test") == tuple(rows)
    assert store.predictions(RUN, 1, "mini/aud_qa", "test", limit=1) == tuple(rows[:1])
    assert store.predictions(RUN, 2, "mini/aud_qa", "test") == ()


def test_answers_come_as_events_too(store, new_run):
    store.start_run(new_run())
    answered = Answered(after=1, task="t", split="test", rows=[("a", "yes", ("yes",))])
    store.write(RUN, [answered, replace(answered, rows=[("a", "no", ("yes",))])])
    (row,) = store.predictions(RUN, 1, "t", "test")
    assert row == PredictionRecord("a", "no", ("yes",))


def test_answers_are_kept_with_their_scores_and_what_is_missing(store, new_run):
    store.start_run(new_run())
    rows = [("a", "yes", ("yes",)), ("b", "", ("no",)), ("c", "x", ("y",))]
    store.write(RUN, [Answered(after=2, task="t", split="val", rows=rows, scores=[100.0, 0.0, nan], missing=["b"])])
    assert store.prediction_sets(RUN) == ((2, "t", "val", 3),)
    assert [(row.score, row.missing) for row in store.predictions(RUN, 2, "t", "val")] == [
        (100.0, False),
        (0.0, True),
        (None, False),
    ]


def test_answers_that_are_no_text_and_long_ids_do_not_stop_a_run(store, new_run):
    store.start_run(new_run())
    long = "images/" * 100
    store.write(RUN, [Answered(after=1, task="t", split="test", rows=[(long, "half \ud800 pair", ("a\udc00",))])])
    (row,) = store.predictions(RUN, 1, "t", "test")
    assert (row.example, row.answer) == (long, "half \\ud800 pair")


def test_a_score_keeps_how_it_was_made(store, new_run):
    store.start_run(new_run())
    made = {"version": 3, "prompts": "published", "scorer": "release", "missing": 2}
    store.write(RUN, [Scored(after=1, task="t", metric="m", value=1.0, n=4, figures={"x": 5.0, "y": inf}, **made)])
    (score,) = store.details(RUN).scores
    assert {name: getattr(score, name) for name in made} == made
    assert score.figures == {"x": 5.0, "y": None}


def test_validations_are_kept_and_those_after_a_checkpoint_discarded(store, new_run):
    store.start_run(new_run())
    measured = {"position": 1, "epoch": 1, "value": 62.5, "best": True}
    events = [Validated(step=step, **measured) for step in (2, 4)]
    store.write(RUN, [*events, Validated(step=4, final=True, criterion="loss", **measured)])
    assert [(v.step, v.final, v.criterion) for v in store.details(RUN).validations] == [
        (2, False, "score"),
        (4, False, "score"),
        (4, True, "loss"),
    ]
    store.discard_after(RUN, 1, 2)
    assert [v.step for v in store.details(RUN).validations] == [2]


# Environments


ONE, TWO = {"threads": 1}, {"threads": 2}


def environments(store, *records):
    store.start_run(NewRun(id=RUN, plan={"strategy": "moincl"}, environment=ONE))
    for purpose, position, step, environment in records:
        store.record_environment(
            RUN, EnvironmentRecord(purpose=purpose, position=position, step=step, environment=environment)
        )
    known = store.details(RUN).environments
    assert [each.number for each in known] == list(range(1, 1 + len(known)))
    return [(each.purpose, each.position, each.step, each.environment) for each in known]


def test_an_environment_is_kept_from_where_it_begins(store):
    first, second = ("learning", 1, 0, ONE), ("learning", 2, 7, TWO)
    assert environments(store, first, second) == [first, second]


def test_the_same_environment_is_not_kept_twice(store):
    first = ("learning", 1, 0, ONE)
    assert environments(store, first, ("learning", 1, 5, ONE), ("scoring", 1, 0, ONE)) == [first]


def test_an_environment_of_steps_that_are_learnt_again_is_forgotten(store):
    first = ("learning", 1, 0, ONE)
    assert environments(store, first, ("learning", 2, 3, TWO), ("learning", 2, 1, ONE)) == [first]
    assert environments(store, ("learning", 1, 0, TWO)) == [("learning", 1, 0, TWO)]


def test_environments_of_scoring_stay_when_learning_goes_on(store):
    first, scored = ("learning", 1, 0, ONE), ("scoring", 1, 0, TWO)
    assert environments(store, first, scored, ("learning", 2, 0, ONE)) == [first, scored]
    assert environments(store, ("scoring", 2, 0, ONE))[-1] == ("scoring", 2, 0, ONE)


def test_the_environment_of_a_deleted_run_cannot_be_written(store):
    with pytest.raises(StoreError, match="is not in the store"):
        store.record_environment("nowhere", EnvironmentRecord(environment=ONE))


def test_a_recipe_stays_with_its_run(store, new_run):
    recipe = {"name": "fast", "sha256": "ab" * 32, "citation": ""}
    store.start_run(new_run(recipe=recipe))
    store.start_run(new_run())
    assert store.run(RUN).recipe == recipe
    store.start_run(new_run(recipe={"name": "slow"}))
    assert store.run(RUN).recipe == {"name": "slow"}
