from __future__ import annotations

import json
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.task import Task
from micl_cli.errors import OptionError, PlanError, UsageError
from micl_cli.plan import (
    BackboneName,
    Evaluation,
    Plan,
    Training,
    check_fit,
    check_learnable,
    declared_settings,
    full_name,
    resolve_settings,
    split_tasks,
)
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
    chosen = resolve_settings(Training, {"epochs": 4, "batch_size": 32, "threads": 1}, {"epochs": 6, "max_steps": None})
    assert (chosen.epochs, chosen.batch_size, chosen.max_steps, chosen.patience) == (6, 32, None, 5)


def test_a_whole_number_is_the_same_rate_as_its_float() -> None:
    whole, real = (resolve_settings(Training, {}, {"learning_rate": rate}) for rate in (1, 1.0))
    assert replace(PLAN, training=whole).id == replace(PLAN, training=real).id


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"epoch": 1}, OptionError, "training has no option 'epoch'"),
        ({"epochs": "many"}, OptionError, "expects a whole number, at least 1, not 'many'"),
        ({"epochs": 0}, OptionError, "option 'epochs' of training expects a whole number, at least 1, not 0"),
        ({"patience": -1}, OptionError, "expects a whole number, at least 0, not -1"),
        ({"learning_rate": 0}, OptionError, "expects a number, more than 0, not 0"),
        ({"warmup": "1.5"}, OptionError, "expects a number, at least 0 and at most 1, not '1.5'"),
        ({"precision": "fp8"}, OptionError, "expects one of auto, fp32, bf16"),
    ],
)
def test_settings_that_cannot_be(asked: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve_settings(Training, {}, asked)


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
    names = {
        "toy": ("toy", ""),
        "composed:my.toml": ("composed", "my.toml"),
        "hf:owner/name@main:x": ("hf", "owner/name@main:x"),
        "micl-toy:toy": ("micl-toy:toy", ""),
        "micl-cli:composed:my.toml": ("micl-cli:composed", "my.toml"),
        "nobody:knows": ("nobody", "knows"),
    }
    for text, (name, argument) in names.items():
        assert BackboneName.parse(text, registry) == BackboneName(name, argument)


def test_settings_are_declared_with_flags_ranges_and_help() -> None:
    training, evaluation = declared_settings(Training), declared_settings(Evaluation)
    assert training.keys() == {field.name for field in fields(Training)}
    assert evaluation.keys() == {field.name for field in fields(Evaluation)}
    assert training["learning_rate"].flags == ("--learning-rate", "--lr")
    assert evaluation["batch_size"].parameter == "eval_batch_size"
    assert not {s.parameter for s in training.values()} & {s.parameter for s in evaluation.values()}


def test_every_default_is_in_its_range() -> None:
    for settings in (Training(), Evaluation()):
        for name, setting in declared_settings(type(settings)).items():
            value = getattr(settings, name)
            assert value is None or setting.option.parse(value) == value


def fit(
    *modalities: str, type: str = "qa", plan: Plan = PLAN, needs: frozenset[str] = frozenset(), **more: Any
) -> None:
    """Check the fit of a task of these modalities with a backbone that takes images and scores choices."""
    features = {"provides": frozenset({"adapters", "choices"}), "modalities": frozenset({"image"})}
    backbone: Any = SimpleNamespace(**{**features, **more})
    strategy: Any = SimpleNamespace(needs=needs)
    check_fit(plan, [Task("mini/x", frozenset(modalities), type, "accuracy")], backbone, strategy)


def test_parts_that_fit() -> None:
    fit("image")
    fit()  # text alone
    fit("image", "audio", modalities=frozenset())  # a class that does not know the modalities of its presets
    fit("image", type="choice")


def test_parts_that_do_not_fit() -> None:
    with pytest.raises(PlanError, match="needs sight"):
        fit("image", needs=frozenset({"adapters", "sight"}))
    with pytest.raises(PlanError, match="does not support audio, video, as task mini/x needs") as caught:
        fit("image", "video", "audio")
    assert caught.value.hint == "It supports image."
    with pytest.raises(PlanError, match="cannot score given answers"):
        fit("image", plan=replace(PLAN, evaluation=Evaluation(score="choices")), provides=frozenset({"adapters"}))
    with pytest.raises(PlanError, match="multiple-choice task mini/x"):
        fit("image", type="choice", provides=frozenset({"adapters"}))
    with pytest.raises(UsageError, match="option for task 3, but there are 2 tasks"):
        fit("image", plan=replace(PLAN, stage_options={"3": {}}))


def test_a_task_without_training_examples_cannot_be_learnt() -> None:
    exam = Task("general/pope", frozenset({"image"}), "qa", "pope", counts={"train": 0, "val": 0, "test": 9})
    with pytest.raises(PlanError, match="general/pope has no training examples") as error:
        check_learnable([exam])
    assert "micl eval RUN --tasks general/pope" in error.value.hint
    check_learnable([replace(exam, counts={"train": 1}), replace(exam, counts={})])
