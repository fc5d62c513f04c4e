from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.errors import OptionError, PlanError, UsageError
from micl_cli.plan import Evaluation, Plan, Training, backbone_parts, check_fit, full_name, settled, split_tasks
from micl_cli.registry import Registry

PLAN = Plan(
    strategy="moincl",
    backbone="tiny",
    tasks=("mini/img_cap", "mini/aud_qa"),
    data={"mini/img_cap": "a" * 64, "mini/aud_qa": "b" * 64},
    strategy_options={"alpha": 0.5},
)

texts = st.text(max_size=8)
values = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-1, 1), texts, st.none())
options = st.dictionaries(texts, values, max_size=3)
trainings = st.builds(
    Training,
    epochs=st.integers(1, 99),
    max_steps=st.none() | st.integers(1, 99),
    learning_rate=st.floats(1e-9, 1),
    patience=st.integers(0, 9),
    precision=st.sampled_from(["auto", "fp32", "bf16"]),
    gradient_checkpointing=st.booleans(),
)
evaluations = st.builds(
    Evaluation, examples=st.none() | st.integers(1, 99), unseen=st.booleans(), split=st.sampled_from(["test", "val"])
)
plans = st.builds(
    Plan,
    strategy=texts,
    backbone=texts,
    tasks=st.lists(texts, max_size=4).map(tuple),
    data=st.dictionaries(texts, texts, max_size=3),
    strategy_options=options,
    stage_options=st.dictionaries(st.integers(1, 9).map(str), options, max_size=3),
    backbone_options=options,
    seed=st.integers(0, 99),
    training=trainings,
    evaluation=evaluations,
    parent=st.none() | texts,
    attempt=st.integers(0, 3),
    name=texts,
)


@given(plans)
def test_a_plan_survives_json_with_its_fingerprint(plan: Plan) -> None:
    back = Plan.from_json(json.loads(json.dumps(plan.as_json())))
    assert back == plan
    assert back.id == plan.id


def test_the_fingerprint_of_a_plan_never_changes() -> None:
    """A run of an earlier day is found again: where this fails, every user's runs are new ones."""
    assert PLAN.id == Plan.from_json(PLAN.as_json()).id == "7bef7138180e"


def test_a_name_decides_nothing() -> None:
    assert replace(PLAN, name="a better one").id == PLAN.id


def changed(settings: Any) -> list[tuple[str, Any]]:
    other = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2, str: lambda v: "bf16"}
    found = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        new = "val" if field.name == "split" else 7 if value is None else other[type(value)](value)
        found.append((field.name, new))
    return found


@pytest.mark.parametrize(("name", "value"), changed(Training()))
def test_every_training_setting_makes_another_run(name: str, value: Any) -> None:
    assert replace(PLAN, training=replace(PLAN.training, **{name: value})).id != PLAN.id


@pytest.mark.parametrize(("name", "value"), changed(Evaluation()))
def test_every_evaluation_setting_makes_another_run(name: str, value: Any) -> None:
    assert replace(PLAN, evaluation=replace(PLAN.evaluation, **{name: value})).id != PLAN.id


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "finetune"},
        {"backbone": "tiny:other"},
        {"tasks": ("mini/aud_qa", "mini/img_cap")},
        {"data": {**PLAN.data, "mini/aud_qa": "c" * 64}},
        {"strategy_options": {"alpha": 0.6}},
        {"stage_options": {"2": {"alpha": 0.6}}},
        {"backbone_options": {"lora_rank": 8}},
        {"seed": 1},
        {"parent": "0" * 12},
        {"attempt": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_all_else_makes_another_run(change: Any) -> None:
    assert replace(PLAN, **change).id != PLAN.id


def test_keys_of_a_newer_version_are_left_out() -> None:
    data = PLAN.as_json()
    data["colour"], data["training"]["colour"], data["evaluation"]["colour"] = "red", "red", "red"
    assert Plan.from_json(data) == PLAN


def test_options_of_a_stage_go_before_those_of_the_run() -> None:
    plan = replace(PLAN, strategy_options={"a": 1, "b": 2}, stage_options={"2": {"b": 3}})
    assert [plan.options_at(position) for position in (1, 2)] == [{"a": 1, "b": 2}, {"a": 1, "b": 3}]


def test_what_is_asked_for_goes_before_the_preset_and_the_default() -> None:
    chosen = settled(Training, {"epochs": 4, "batch_size": 32, "threads": 1}, {"epochs": 6, "max_steps": None})
    assert (chosen.epochs, chosen.batch_size, chosen.max_steps, chosen.patience) == (6, 32, None, 5)


def test_a_whole_number_is_the_same_rate_as_its_float() -> None:
    whole, real = (settled(Training, {}, {"learning_rate": rate}) for rate in (1, 1.0))
    assert replace(PLAN, training=whole).id == replace(PLAN, training=real).id


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"epoch": 1}, OptionError, "training has no option 'epoch'"),
        ({"epochs": "many"}, OptionError, "expects a whole number, not 'many'"),
        ({"epochs": 0}, UsageError, "epochs cannot be 0"),
        ({"patience": -1}, UsageError, "patience cannot be -1"),
        ({"precision": "fp8"}, OptionError, "expects one of auto, fp32, bf16"),
    ],
)
def test_settings_that_cannot_be(asked: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        settled(Training, {}, asked)


@given(st.lists(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True), min_size=1, max_size=4))
def test_tasks_are_split_at_commas_and_get_their_benchmark(names: list[str]) -> None:
    full = [full_name(name, "mini") for name in names]
    text = " , ".join(names) + ","
    if len(set(full)) < len(full):
        with pytest.raises(UsageError, match="named twice"):
            split_tasks(text, "mini")
    else:
        assert split_tasks(text, "mini") == tuple(full)
        assert all("/" in name for name in full)


def test_a_backbone_is_named_with_its_argument_or_its_distribution(home: Any) -> None:
    registry = Registry.discover()
    assert backbone_parts("toy", registry) == ("toy", "")
    assert backbone_parts("composed:my.toml", registry) == ("composed", "my.toml")
    assert backbone_parts("micl-toy:toy", registry) == ("micl-toy:toy", "")
    assert backbone_parts("micl-cli:composed:my.toml", registry) == ("micl-cli:composed", "my.toml")
    assert backbone_parts("nobody:knows", registry) == ("nobody", "knows")


def test_parts_that_fit_and_do_not() -> None:
    from micl_cli.api import Strategy
    from micl_cli.testing import ToyBackbone, toy_tasks

    class Needy(Strategy):
        needs = frozenset({"adapters", "sight"})

    tasks = toy_tasks()
    check_fit(PLAN, tasks, ToyBackbone, Strategy)
    with pytest.raises(PlanError, match="needs sight"):
        check_fit(PLAN, tasks, ToyBackbone, Needy)
    with pytest.raises(UsageError, match="option for task 3, but there are 2 tasks"):
        check_fit(replace(PLAN, stage_options={"3": {}}), tasks, ToyBackbone, Strategy)
