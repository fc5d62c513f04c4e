"""What a report is told of a run's plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micl_cli.plan import Plan, Training
from micl_cli.session.recorder import settings_of

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
