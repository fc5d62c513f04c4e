from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from micl_cli.records import StageRecord
from micl_cli.report.data import RunData
from micl_cli.report.quantized import quantized_of


def run(id: str, *, score: float = 50.0, weights: int = 1000, peak: int = 4000, **settings: Any) -> RunData:
    stage = StageRecord(position=1, tasks=("a/b",), status="learned", steps=1, examples=1, seconds=1.0,
                      peak_bytes=peak, trainable_parameters=1, stored_bytes=1)  # fmt: skip
    told = {f"backbone.{name}": value for name, value in settings.items()}
    rest = {"settings": {"training": "x", **told}, "stages": [stage], "weights_bytes": weights}
    return RunData(id=id, name="", strategy="finetune", backbone="hf:x", seed=0, status="finished", tasks=["a/b"],
                   matrix=[[score]], **rest)  # fmt: skip


def test_a_quantised_run_is_compared_with_its_reference() -> None:
    whole = run("1", score=60.0)
    few = run("2", score=57.5, weights=300, peak=1000, quantize="nf4", dtype="bf16")
    (found,) = quantized_of([few, whole])
    assert (found.run, found.reference, found.bits) == ("2", "1", "nf4")
    assert (found.weights, found.peak, found.gap) == (0.3, 0.25, 2.5)


@pytest.mark.parametrize(
    "other",
    [
        run("1", quantize="int8"),
        replace(run("1"), seed=1),
        replace(run("1"), strategy="ewc"),
        replace(run("1"), settings={"training": "y"}),
        replace(run("1"), data={"a/b": "f00"}),
    ],
)
def test_a_run_that_differs_otherwise_is_no_reference(other: RunData) -> None:
    assert quantized_of([run("2", quantize="nf4"), other]) == []


def test_what_was_not_measured_is_not_compared() -> None:
    (found,) = quantized_of([run("1", weights=0), replace(run("2", quantize="int8"), matrix=[[None]])])
    assert (found.weights, found.gap) == (None, None)
