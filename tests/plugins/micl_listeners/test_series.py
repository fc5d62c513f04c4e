from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Routed, Scored, Step, TaskLearned
from micl_listeners.series import COSTS, Points, Series


def step(position: int, number: int) -> Step:
    return Step(position=position, step=number, epoch=1, loss=1.0, lr=0.1, seconds=0.0)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_steps_count_over_the_whole_sequence(lengths: list[int]) -> None:
    series = Series()
    events = [step(position, n) for position, length in enumerate(lengths, 1) for n in range(1, length + 1)]
    places = [points.at for event in events for points in series.points(event)]
    assert places == list(range(1, sum(lengths) + 1))
    again = [points.at for event in events for points in series.points(event)]
    assert again == places


def test_a_restored_stage_counts_although_its_steps_are_not_delivered(script: Any) -> None:
    series, learned = Series(), next(event for event in script.whole if isinstance(event, TaskLearned))
    (cost,) = series.points(learned)
    assert (cost.axis, cost.at, set(cost.values)) == ("stage", 1, {f"cost/{name}" for name in COSTS})
    (points,) = series.points(step(2, 1))
    assert points.at == 4


def test_scores_are_over_the_stages_so_that_stages_without_steps_differ() -> None:
    series = Series()
    for stage in (0, 1, 2):
        scored = Scored(after=stage, task="own/a", metric="cider", value=5.0 * stage, n=3, figures={"x": None})
        assert list(series.points(scored)) == [
            Points("stage", stage, {"score/own/a/cider": 5.0 * stage, "R/own/a": 5.0 * stage})
        ]
    other = Scored(after=2, task="own/b", metric="choices", value=1.0, n=3, main=False)
    assert [points.values for points in series.points(other)] == [{"score/own/b/choices": 1.0}]
    assert series.rows() == (["after stage", "own/a"], [[0, 0.0], [1, 5.0], [2, 10.0]])


def test_routing_is_the_share_of_examples_that_reach_their_task() -> None:
    routed = Routed(after=2, task="a", router="ridge", n=4, chosen={"a": 3, "b": 1}, unsure=0, seconds=0.1)
    assert list(Series().points(routed)) == [Points("stage", 2, {"routing/a": 75.0})]
