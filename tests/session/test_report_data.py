"""What a report knows of a run beyond its scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from micl_cli.registry import Registry
from micl_cli.report.data import RunData
from micl_cli.session import Session
from micl_cli.session.report_data import with_task_facts
from micl_cli.settings import load_settings


@pytest.fixture
def session(finished: str) -> Session:
    return Session(load_settings())


def rescaled(session: Session, run_id: str, **score: Any) -> RunData:
    """The data of a run whose scores are changed, with the facts that follow from them."""
    data = session.report(run_id)
    with session.store_to_read() as store:
        changed = replace(data, scores=[replace(each, **score) for each in data.scores], types={}, scales={})
        return with_task_facts(changed, store, Registry.discover())


def test_types_and_scales_come_from_the_store_and_the_metrics(session: Session, finished: str) -> None:
    data = session.report(finished)
    assert data.types == {"own/img_cap": "captioning", "own/aud_qa": "qa"}
    assert data.scales == {"own/img_cap": (0.0, 10.0), "own/aud_qa": (0.0, 1.0)}
    assert data.recipe == {}


def test_the_scale_of_an_unknown_metric_is_unknown(session: Session, finished: str) -> None:
    assert set(rescaled(session, finished, metric="strange").scales.values()) == {None}


def test_a_scale_that_a_score_contradicts_is_unknown(session: Session, finished: str) -> None:
    scales = rescaled(session, finished, value=500.0).scales
    assert scales == {"own/img_cap": (0.0, 10.0), "own/aud_qa": None}


def test_scores_of_examples_are_read_on_demand(session: Session, finished: str) -> None:
    assert session.report(finished).examples is None
    data = session.report(finished, examples=True)
    assert data.examples is not None
    assert set(data.examples) == {(1, "own/img_cap"), (2, "own/img_cap"), (2, "own/aud_qa")}
    for (t, task), scores in data.examples.items():
        values = [value for value in scores.values() if value is not None]
        assert sum(values) / len(scores) == pytest.approx(data.r[t, data.tasks.index(task) + 1])
