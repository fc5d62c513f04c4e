"""What two runs differ in, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from micl_cli.plan import Plan, Training
from micl_cli.records import EnvironmentRecord
from micl_cli.report.blocks import Paragraph, Table
from micl_cli.report.data import RunData
from micl_cli.report.diff import Field, RunDiff, diff, diff_blocks

PLAN = Plan(
    strategy="ewc",
    backbone="composed:tiny",
    tasks=("mini/img_cap", "mini/aud_qa"),
    data={"mini/img_cap": "1", "mini/aud_qa": "2"},
    strategy_options={"lambda": 5.0},
    stage_options={"2": {"lambda": 7.0}},
    backbone_digest="189bddd7",
)
ENVIRONMENT = {"code": "a7078ecf6d83", "commit": "8fa1c59d0eb5", "threads": "1", "cores": "2", "torch": "2.13.0"}


@pytest.fixture
def run(learnt: RunData) -> RunData:
    return of(learnt, PLAN)


def of(run: RunData, plan: Plan, **more: Any) -> RunData:
    environment = {**ENVIRONMENT, **more.pop("environment", {})}
    return replace(run, id=plan.id, plan=plan.as_json(), environment=environment, **more)


def changed(found: RunDiff) -> dict[str, tuple[str | None, str | None]]:
    return {f"{each.section} {each.name}": (each.first, each.second) for each in found.fields if each.differs}


def words(found: RunDiff) -> str:
    return " ".join(block.text for block in diff_blocks(found) if isinstance(block, Paragraph))


def test_attempts_of_one_plan_in_one_environment_are_equal(run: RunData) -> None:
    found = diff(run, of(run, PLAN.again(1)))
    assert (found.equal, found.explains_id, found.warnings) == (True, ["plan attempt"], [])
    assert changed(found) == {"plan attempt": ("0", "1")}
    assert "are equal in everything that decides scores" in words(found)


@pytest.mark.parametrize(
    ("plan", "name", "values"),
    [
        (replace(PLAN, seed=3), "plan seed", ("0", "3")),
        (replace(PLAN, training=Training(epochs=3)), "plan training.epochs", ("10", "3")),
        (replace(PLAN, strategy_options={"lambda": 6.0}), "plan options.lambda", ("5.0", "6.0")),
        (replace(PLAN, stage_options={}), "plan stage.2.lambda", ("7.0", None)),
        (replace(PLAN, data={**PLAN.data, "mini/aud_qa": "3"}), "plan data.mini/aud_qa", ("2", "3")),
        (replace(PLAN, backbone_digest="cf"), "plan backbone_digest", ("189bddd7", "cf")),
        (
            replace(PLAN, tasks=PLAN.tasks[::-1]),
            "plan tasks",
            ("mini/img_cap, mini/aud_qa", "mini/aud_qa, mini/img_cap"),
        ),
    ],
)
def test_a_field_of_the_plan_explains_another_id(plan: Plan, name: str, values: Any, run: RunData) -> None:
    found = diff(run, of(run, plan))
    assert (found.equal, found.explains_id, found.warnings) == (False, [name], [])
    assert changed(found) == {name: values}
    assert f"Their ids differ because of: {name}." in words(found)


@pytest.mark.parametrize(("name", "equal"), [("commit", True), ("cores", True), ("threads", False), ("code", False)])
def test_what_decides_scores_in_an_environment(name: str, equal: bool, run: RunData) -> None:
    found = diff(run, of(run, PLAN.again(1), environment={name: "8" * 12}))
    assert found.equal is equal
    assert f"environment {name}" in changed(found)


def test_one_plan_with_different_scores_is_warned_of_with_what_may_explain_it(run: RunData) -> None:
    scores = [replace(run.scores[0], value=2.0), *run.scores[1:]]
    (warning,) = diff(run, of(run, PLAN.again(1), scores=scores, environment={"threads": "2"})).warnings
    assert warning == "The same plan gave 1 different score. Possible reasons: environment threads."
    found = diff(run, of(run, PLAN.again(1), scores=scores))
    assert found.warnings == ["The same plan gave 1 different score. Nothing that is recorded explains it."]
    assert found.equal, "equal in everything that decides scores"
    assert diff(run, of(run, replace(PLAN, seed=1), scores=scores)).warnings == []


def test_scores_that_are_missing_or_of_another_rule_are_no_different_scores(run: RunData) -> None:
    rescored = [replace(run.scores[0], value=2.0, version=7), *run.scores[1:]]
    for scores in (run.scores[1:], rescored):
        found = diff(run, of(run, PLAN.again(1), scores=scores))
        assert found.warnings == []
        assert any(name.startswith("scores ") for name in changed(found))


def test_scores_that_look_the_same_are_shown_with_all_digits(run: RunData) -> None:
    scores = [replace(run.scores[0], value=2.500001), *run.scores[1:]]
    found = diff(run, of(run, PLAN.again(1), scores=scores))
    assert changed(found)["scores mini/img_cap cider (test) after stage 0"] == ("2.5", "2.500001")


def test_runs_of_unknown_code_are_not_said_to_be_equal(run: RunData) -> None:
    old = {name: value for name, value in ENVIRONMENT.items() if name != "code"}
    first, second = (replace(each, environment=old) for each in (run, of(run, PLAN.again(1))))
    found = diff(first, second)
    assert not found.equal
    assert "was not recorded" in found.warnings[0]


def test_where_the_environment_changed_decides_scores_too(run: RunData) -> None:
    def changing(at: int, name: str) -> RunData:
        environments = [
            EnvironmentRecord(environment={"threads": 1}),
            EnvironmentRecord(position=at, environment={"threads": 1, name: 2}),
        ]
        return of(run, PLAN.again(at), environments=environments)

    found = diff(changing(2, "threads"), changing(3, "threads"))
    assert not found.equal
    assert changed(found)["environment changes"] == ("threads from stage 2 on", "threads from stage 3 on")
    assert diff(changing(2, "cores"), changing(3, "cores")).equal


def test_code_that_was_unknown_at_first_is_not_said_to_be_equal(run: RunData) -> None:
    mixed = {"environment": {"code": "unknown, then a7078ecf6d83"}}
    assert not diff(of(run, PLAN, **mixed), of(run, PLAN.again(1), **mixed)).equal


def test_a_run_is_equal_to_itself(run: RunData) -> None:
    old = replace(run, environment={})
    found = diff(old, old)
    assert (found.equal, changed(found), found.warnings) == (True, {}, [])
    assert "nothing to compare" in words(found)


def test_only_what_differs_is_shown_unless_all_is_asked_for(run: RunData) -> None:
    found = diff(run, of(run, replace(PLAN, seed=3), recipe={"name": "fast"}))
    tables = [block for block in diff_blocks(found) if isinstance(block, Table)]
    assert [(table.title, table.rows) for table in tables] == [
        ("Plan", [("seed", "0", "3")]),
        ("Recipe", [("name", "none", "fast")]),
    ]
    everything = [block for block in diff_blocks(found, everything=True) if isinstance(block, Table)]
    titles = ["Plan", "Run", "Environment", "Recipe", "Scores", "Figures", "Cost"]
    assert [table.title for table in everything] == titles
    assert len(found.as_json(everything=True)["fields"]) == len(found.fields) > 40
    assert [each["name"] for each in found.as_json(everything=False)["fields"]] == ["seed", "name"]


def test_a_field_in_json_says_what_it_decides() -> None:
    assert Field(section="plan", name="seed", first="0", second="1", decides=True, in_id=True).as_json() == {
        "section": "plan",
        "name": "seed",
        "first": "0",
        "second": "1",
        "decides": True,
        "in_id": True,
        "differs": True,
    }
