from __future__ import annotations

import pytest

from micl_cli.records import RoutingRecord
from micl_cli.report.comparison import gap_to_oracle
from micl_cli.report.data import RunData
from micl_cli.report.routing import routing_of


def row(task: str, chosen: dict[str, int], **more: object) -> RoutingRecord:
    values = {"after": 2, "router": "ridge", "n": sum(chosen.values()), "unsure": 1, "seconds": 0.5, **more}
    return RoutingRecord(task=task, chosen=chosen, **values)  # type: ignore[arg-type]


def test_routing_counts_every_example_of_every_task() -> None:
    found = routing_of([row("b", {"a": 1, "b": 9}), row("a", {"a": 30}, unsure=3, passes=1)], ["a", "b"])
    assert found is not None
    assert found.accuracy == pytest.approx(100 * 39 / 40)
    assert found.confusion == {"a": {"a": 30, "b": 0}, "b": {"a": 1, "b": 9}}
    assert list(found.confusion) == ["a", "b"]
    assert (found.unsure, found.seconds_per_query, found.passes) == (10.0, pytest.approx(1 / 40), 1)


def test_answers_of_the_base_model_are_counted() -> None:
    found = routing_of([row("b", {"base": 3, "b": 1}), row("a", {"a": 4})], ["a", "b"])
    assert found is not None
    assert (found.base, found.accuracy, found.confusion["b"]) == (3, 62.5, {"a": 0, "b": 1})
    assert found.as_json()["base"] == 3


def test_nothing_routed_is_no_routing() -> None:
    assert routing_of([], ["a"]) is None


def test_the_gap_to_the_oracle_needs_its_run_on_the_same_tasks_and_seed() -> None:
    def run(router: str, score: float, seed: int = 0) -> RunData:
        return RunData(
            id=f"{router}{seed}", name="", strategy="router", backbone="tiny", seed=seed, status="finished",
            tasks=["a"], matrix=[[score]], routings=[row("a", {"a": 4}, router=router)],
        )  # fmt: skip

    runs = [run("oracle", 90.0), run("ridge", 88.5), run("ridge", 70.0, seed=1)]
    assert [gap_to_oracle(each, runs) for each in runs] == [0.0, 1.5, None]
