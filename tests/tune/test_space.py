from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.search import Search
from micl_cli.errors import UsageError
from micl_cli.session import Request, Session
from micl_cli.settings import load_settings
from micl_cli.tune.records import TrialRecord
from micl_cli.tune.sampling import STARTUP_TRIALS, sample
from micl_cli.tune.space import Dimension, changes_for, parse_space, space_of

RATE = Dimension(name="rate", default=0.1, space=Search(0.01, 10.0, log=True), training=True, lowest=0.0)
COUNT = Dimension(name="count", default=4, space=Search(1, 16), whole=True, lowest=0)
FORM = Dimension(name="form", default="sum", space=Search(choices=("sum", "online")))
SPACE = (RATE, COUNT, FORM)


def ended(number: int, values: dict[str, Any], value: float | None) -> TrialRecord:
    error = "" if value is not None else "it failed"
    return TrialRecord(number=number, values=values, objectives={"0": value}, error=error, ended="now")


def trials(count: int, start: tuple[TrialRecord, ...] = ()) -> tuple[TrialRecord, ...]:
    """Trials whose value is best at a rate of 1; each third fails."""
    for number in range(len(start), count):
        values = sample(SPACE, start, number)
        value = None if number % 3 == 2 else 1 - abs(values["rate"] - 1) / 10
        start = (*start, ended(number, values, value))
    return start


def test_the_first_trial_has_the_defaults_and_all_are_in_the_space() -> None:
    found = trials(9)
    assert found[0].values == {"rate": 0.1, "count": 4, "form": "sum"}
    for trial in found:
        assert all(dimension.contains(trial.values[dimension.name]) for dimension in SPACE)
        assert float(f"{trial.values['rate']:.3g}") == trial.values["rate"]
    assert len({str(trial.values) for trial in found}) == 9


def test_an_interrupted_study_continues_with_the_same_trials() -> None:
    whole = trials(8)
    assert trials(8, whole[:5]) == whole
    # The first trials do not depend on the others, so that they can be learnt at the same time.
    assert [sample(SPACE, (), number) for number in range(STARTUP_TRIALS)] == [
        dict(trial.values) for trial in whole[:STARTUP_TRIALS]
    ]


def test_trials_after_the_first_depend_on_the_results_and_avoid_what_fails() -> None:
    low, high = 0.02, 5.0
    good = [ended(n, {"rate": low + n / 100, "count": 4, "form": "sum"}, 1.0) for n in range(6)]
    bad = [ended(6 + n, {"rate": high + n / 10, "count": 4, "form": "sum"}, None) for n in range(6)]
    assert sum(sample(SPACE, [*good, *bad], 12 + n)["rate"] < 0.5 for n in range(8)) >= 7


def test_defaults_outside_the_space_are_tried_but_not_learnt_from() -> None:
    narrow = (Dimension(name="rate", default=0.0, space=Search(0.1, 1.0, log=True)),)
    assert sample(narrow, (), 0) == {"rate": 0.0}
    assert narrow[0].contains(sample(narrow, [ended(0, {"rate": 0.0}, 0.5)], 1)["rate"])


@pytest.mark.parametrize(
    ("dimension", "value", "edge"),
    [
        (RATE, 0.01, "lower"),
        (RATE, 0.013, "lower"),
        (RATE, 0.1, ""),
        (RATE, 9.0, "upper"),
        (COUNT, 16, "upper"),
        (COUNT, 2, ""),
        (FORM, "sum", ""),
        (Dimension(name="share", default=0.5, space=Search(0.0, 1.0), lowest=0.0, highest=1.0), 1.0, ""),
        (RATE, 0.0, ""),
    ],
)
def test_edges(dimension: Dimension, value: Any, edge: str) -> None:
    assert dimension.edge(value) == edge


@pytest.mark.parametrize(
    "search", [Search(), Search(1.0), Search(2.0, 1.0), Search(0.0, 1.0, log=True), Search(choices=("a",))]
)
def test_a_dimension_needs_a_valid_space(search: Search) -> None:
    with pytest.raises(ValueError, match="the space of x is not valid"):
        Dimension(name="x", default=1, space=search)


def found(strategy: str, *texts: str, fixed: tuple[str, ...] = (), **training: Any) -> dict[str, str]:
    session = Session(load_settings())
    plan = session.plan(Request(strategy=strategy, backbone="tiny", tasks=("own/a",), training=training), ())
    changes = changes_for(parse_space(texts), strategy, session.registry)
    return {dimension.name: str(dimension) for dimension in space_of(plan, changes, fixed, session.registry)}


def test_the_shared_learning_rate_is_searched_around_the_default_of_the_backbone() -> None:
    assert found("finetune") == {"learning_rate": "0.0008..0.02, log"}
    assert found("finetune", learning_rate=0.1) == {"learning_rate": "0.02..0.5, log"}
    assert found("finetune", fixed=("learning_rate",)) == {}


def test_the_user_adds_changes_and_fixes() -> None:
    texts = ("gamma=0.5..0.99", "fisher_examples=10..1000:log", "form=sum|online", "lr=0.001", "weight_decay=0..0.1")
    space = found("ewc", *texts, fixed=("lambda_ewc",))
    assert space == {
        "fisher_examples": "10..1000, log",
        "form": "sum|online",
        "gamma": "0.5..0.99",
        "weight_decay": "0..0.1",
    }


def test_a_space_may_be_for_one_strategy() -> None:
    texts = ("temperature=1..2", "moincl:temperature=3..4")
    assert found("lwf", *texts)["temperature"] == "1..2"
    assert found("moincl", *texts)["temperature"] == "3..4"


@given(st.text("ab:=.|0123-e ", max_size=16))
def test_any_text_is_a_change_or_refused_with_a_way_out(text: str) -> None:
    with suppress(UsageError):
        (change,) = parse_space([text])
        assert change.name and change.text
        assert change.fixes == (change.interval is None and "|" not in change.text)
