from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from micl_cli.api import BASE, Example, Media, Progress, Route, Router, RouterContext, State, Task, route_readable

LEARNT = {"sounds": {"audio"}, "pictures": {"image"}, "films": {"image", "audio"}}


class Favourite(Router):
    """Routes everything to the sounds, as a router without a ranking of tasks."""

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        yield from ()

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return [Route("sounds", 0.9) for _ in examples]

    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None:
        """Nothing to restore."""


def showing(*modalities: str) -> Example:
    return Example("1", (*(Media(name, None, name) for name in modalities), "What is it?"))


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (("audio",), Route("sounds", 0.9)),
        ((), Route("sounds", 0.9)),
        (("image",), Route("films", 0.0)),
        (("image", "audio"), Route("films", 1.0)),
        (("video",), Route(BASE)),
        (("image", "video"), Route(BASE)),
    ],
)
def test_a_query_goes_to_a_task_that_has_all_of_its_modalities(modalities: tuple[str, ...], expected: Route) -> None:
    backbone: Any = None
    asked = [showing(*modalities), showing("audio")]
    assert route_readable(Favourite(backbone), asked, LEARNT) == [expected, Route("sounds", 0.9)]


def test_a_router_is_not_asked_where_no_task_can_answer() -> None:
    class Silent(Favourite):
        def route(self, examples: Sequence[Example]) -> Sequence[Route]:
            raise AssertionError("asked")

    backbone: Any = None
    assert route_readable(Silent(backbone), [showing("video")], LEARNT) == [Route(BASE, selection=None)]
