"""Recording a run in the store, and reading it for a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from micl_cli.api import Task
from micl_cli.api.events import (
    Event,
    PassProgress,
    Routed,
    RunFinished,
    RunStarted,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
)
from micl_cli.errors import StoreError
from micl_cli.plan import Plan, Training
from micl_cli.session import recorder
from micl_cli.session.recorder import Recorder, run_data, settings_of, task_record
from micl_cli.store import NewRun, Store

PLAN = Plan(
    strategy="router",
    backbone="composed:tiny",
    tasks=("mini/img_cap", "mini/aud_qa"),
    data={"mini/img_cap": "1", "mini/aud_qa": "2"},
    strategy_options={"router": "ridge", "samples": 20},
    stage_options={"2": {"samples": 5}},
    backbone_options={"layers": 2},
    backbone_digest="189bddd7",
)


def test_settings_have_dotted_names() -> None:
    found = settings_of(PLAN)
    assert {name: found[name] for name in ("router", "samples", "2.samples", "backbone.layers", "backbone.digest")} == {
        "router": "ridge",
        "samples": "20",
        "2.samples": "5",
        "backbone.layers": "2",
        "backbone.digest": "189bddd7",
    }
    assert found["training.max_steps"] == "null"
    assert found["evaluation.split"] == "test"


def test_other_seeds_attempts_names_and_orders_have_the_same_settings() -> None:
    other = replace(PLAN, seed=3, attempt=1, name="again", parent="77ab91c04d1e", tasks=PLAN.tasks[::-1])
    assert settings_of(other) == settings_of(PLAN)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, strategy_options={"router": "mllm", "samples": 20}),
        replace(PLAN, stage_options={}),
        replace(PLAN, backbone_digest="cf938a88"),
        replace(PLAN, training=Training(epochs=3)),
    ],
)
def test_other_ways_of_learning_have_other_settings(other: Plan) -> None:
    assert settings_of(other) != settings_of(PLAN)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open("sqlite://") as opened:  # in memory
        opened.start_run(NewRun(id=PLAN.id, plan=PLAN.as_json(), environment={"weights_bytes": 500}))
        yield opened


def step(number: int) -> Step:
    return Step(position=1, step=number, epoch=1, loss=0.5, lr=1e-3, seconds=0.01)


def learned(position: int) -> TaskLearned:
    return TaskLearned(
        position=position, tasks=[PLAN.tasks[position - 1]], data_sha256=["1"], steps=2, examples=8, before_seconds=4.0,
        seconds=1.5, after_seconds=0.5, peak_bytes=10, trainable_parameters=3, stored_bytes=7, checkpoint="stages/01",
    )  # fmt: skip


def test_steps_and_progress_wait_for_the_next_event(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "STORE_SECONDS", 60.0)
    recording = Recorder(store, PLAN.id)
    for event in (PassProgress(position=1, when="before", done=1), step(1), step(2)):
        recording.take(event)
    assert store.steps(PLAN.id) == ()
    recording.take(learned(1))
    assert [each.step for each in store.steps(PLAN.id)] == [1, 2]


def test_a_resumed_run_repeats_the_steps_after_its_checkpoint(store: Store) -> None:
    store.write(PLAN.id, [step(1), step(2), step(3)])
    started = RunStarted(run=PLAN.id, tasks=[], strategy="router", backbone="tiny", seed=0, resumed_from=(1, 2))
    recording = Recorder(store, PLAN.id)
    recording.take(started)
    recording.take(TaskStarted(position=1, tasks=[PLAN.tasks[0]], examples=8, steps_planned=4, trainable_parameters=3))
    assert [each.step for each in store.steps(PLAN.id)] == [1, 2]


def test_the_environment_is_recorded_from_where_a_run_goes_on(store: Store) -> None:
    for resumed, threads in ((None, 1), ((1, 2), 2), ((1, 2), 2)):
        started = RunStarted(run=PLAN.id, tasks=[], strategy="router", backbone="tiny", seed=0, resumed_from=resumed)
        Recorder(store, PLAN.id, {"threads": threads, "code": "a" * 12}).take(started)
    details = store.details(PLAN.id)
    known = [(each.position, each.step, each.environment["threads"]) for each in details.environments]
    assert known == [(1, 0, 1), (1, 2, 2)]
    assert all(each.started for each in details.environments)
    data = run_data(details)
    assert (data.environment["threads"], data.environment["code"]) == ("1, then 2", "a" * 12)


def test_events_that_cannot_be_written_are_not_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recorder(store, PLAN.id)
    recording.take(step(1))
    with monkeypatch.context() as patched:
        patched.setattr(store, "write", lambda *_: (_ for _ in ()).throw(StoreError("full", "")))
        with pytest.raises(StoreError):
            recording.flush()
    recording.flush()
    assert [each.step for each in store.steps(PLAN.id)] == [1]


def test_the_end_of_a_run_is_recorded(store: Store) -> None:
    recording = Recorder(store, PLAN.id)
    recording.take(step(1))
    recording.take(RunFinished(run=PLAN.id, status="finished", seconds=1.0))
    run = store.run(PLAN.id)
    assert (recording.ended, run and run.status, len(store.steps(PLAN.id))) == (True, "finished", 1)


def test_a_report_has_the_records_of_the_store(store: Store) -> None:
    first, second = PLAN.tasks
    scores = [(1, first, 90.0), (2, first, 70.0), (2, second, 80.0)]
    events: list[Event] = [learned(1), learned(2)]
    events += [Scored(after=after, task=task, metric="accuracy", value=value, n=5) for after, task, value in scores]
    events += [Routed(after=2, task=first, router="ridge", n=5, chosen={first: 5}, unsure=0, seconds=0.1)]
    store.write(PLAN.id, events)
    details = store.details(PLAN.id)
    data = run_data(details)
    assert (data.stages, data.scores, data.routings) == (details.stages, details.scores, details.routings)
    assert (data.matrix, data.zero_shot) == ([[90.0, None], [70.0, 80.0]], None)
    assert (data.cost.before_seconds, data.cost.seconds, data.cost.after_seconds) == (8.0, 3.0, 1.0)
    assert (data.strategy, data.split, data.weights_bytes) == ("router", "test", 500)
    assert run_data(details, "val").matrix == [[None, None], [None, None]]


@pytest.mark.parametrize("modalities", [set(), {"image"}, {"image", "audio"}])
def test_a_prepared_task_is_recorded_with_its_modalities_in_order(modalities: set[str], tmp_path: Path) -> None:
    task = Task(name="own/news", modalities=frozenset(modalities), type="qa", metric="accuracy", sha256="1")
    record = task_record(task, tmp_path)
    assert (record.name, record.modalities, record.type) == ("own/news", tuple(sorted(modalities)), "qa")
