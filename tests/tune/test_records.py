from __future__ import annotations

from typing import Any

import pytest

from micl_cli.api.search import Search
from micl_cli.plan import Plan
from micl_cli.tune.records import StudyRecord, StudyState, TrialRecord, edge_notes, is_study_name, unequal_trials
from micl_cli.tune.space import Dimension

PLAN = Plan(strategy="ewc", backbone="toy", tasks=("own/a",)).as_json()
SPACE = (Dimension(name="lambda_ewc", default=0.1, space=Search(0.1, 10.0, log=True), lowest=0.0),)


def study(**more: Any) -> StudyRecord:
    given: dict[str, Any] = {"name": "s", "plan": PLAN, "seeds": (0, 1), "objective": "final", "space": SPACE}
    return StudyRecord(**{**given, "given_tasks": "a", **more})


def trial(number: int, value: float, *objectives: float | None, error: str = "") -> TrialRecord:
    scores = {str(seed): objective for seed, objective in enumerate(objectives)}
    return TrialRecord(number=number, values={"lambda_ewc": value}, objectives=scores, error=error, ended="now")


def test_the_best_trial_has_the_highest_mean_and_is_the_earliest_of_equals() -> None:
    failed = trial(3, 1.0, 0.9, None, error="seed 1: the loss is nan")
    state = StudyState(
        study=study(), trials=(trial(0, 0.1, 0.5, 0.7), trial(1, 9.9, 0.8, 0.6), trial(2, 2.0, 0.7, 0.7), failed)
    )
    best = state.best
    assert best and best.number == 1
    assert best.value == pytest.approx(0.7)
    assert best.spread == pytest.approx(0.1414, abs=1e-4)
    assert (failed.state, failed.value) == ("failed", None)
    assert trial(0, 0.1, 0.5).spread is None


def test_a_best_value_at_an_edge_is_said() -> None:
    state = StudyState(study=study(), trials=(trial(0, 0.1, 0.5, 0.5), trial(1, 9.9, 0.8, 0.8)))
    assert state.edges == {"lambda_ewc": "upper"}
    assert edge_notes(state) == [
        "ewc: the best lambda_ewc, 9.9, is at the upper edge of its space 0.1..10, log: a higher one may be better; "
        "widen it with --space"
    ]
    assert edge_notes(StudyState(study=study(), trials=(trial(0, 1.0, 0.5, 0.5),))) == []


def test_studies_with_unequal_or_open_trials_are_not_complete() -> None:
    one = StudyState(study=study(), trials=(trial(0, 0.1, 0.5),))
    two = StudyState(study=study(), trials=(trial(0, 0.1, 0.5), trial(1, 1.0, 0.5)))
    opened = StudyState(study=study(), trials=one.trials, open=(TrialRecord(number=1, values={"lambda_ewc": 1.0}),))
    assert unequal_trials([one, two])
    assert unequal_trials([opened])
    assert not unequal_trials([one, one])
    assert opened.open[0].state == "open"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": "../x"}, "name"),
        ({"plan": {}}, "plan has no strategy"),
        ({"objective": "best"}, "objective"),
        ({"seeds": ()}, "no seeds"),
        ({"space": ()}, "no space"),
    ],
)
def test_malformed_studies_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(**more)


@pytest.mark.parametrize("more", [{"number": -1}, {"runs": {"0": "../../x"}}, {"objectives": {"0": float("nan")}}])
def test_malformed_trials_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="trial"):
        TrialRecord(**{"number": 0, "values": {}, **more})


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("tuned", True),
        ("mini_2.1-b", True),
        ("", False),
        (".x", False),
        ("a/b", False),
        ("a b", False),
        ("x" * 65, False),
    ],
)
def test_names(name: str, valid: bool) -> None:
    assert is_study_name(name) == valid
