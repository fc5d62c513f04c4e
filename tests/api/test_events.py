"""Events as JSON, and back."""

from __future__ import annotations

import json
import math

import pytest

from micl_cli.api.events import Scored, Step


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_null_in_json_and_nan_when_read_back(value: float) -> None:
    fields = Scored(after=1, task="own/t", metric="m", value=value, n=3).as_json()
    assert fields.pop("event") == "scored"
    assert fields["value"] is None
    restored = Scored(**json.loads(json.dumps(fields, allow_nan=False)))
    assert math.isnan(restored.value)
    assert restored.as_json()["value"] is None


def test_losses_that_are_not_finite_are_null_in_json() -> None:
    step = Step(position=1, step=1, epoch=1, loss=math.inf, lr=0.1, seconds=1.0, terms={"answer": math.nan})
    assert (step.as_json()["loss"], step.as_json()["terms"]) == (None, {"answer": None})
