"""The oracle: the true task of each example, an upper bound that needs the test data in advance.

Deviations: none, the oracle has no paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from micl_cli.api import Backbone, Example, PlanError, Progress, Route, Router, RouterContext, State, Task

_Key = tuple[str, tuple[str, ...], str]


class OracleRouter(Router):
    """Route every example to the task that it comes from: the upper bound of routing.

    An example of a task that has not been learnt is routed to the latest task, with margin 0.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self._tasks: dict[_Key, str] = {}
        self._latest = ""

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        own = [*examples, *task.examples("val"), *task.examples("test")]
        self._tasks.update(dict.fromkeys(map(_key, own), task.name))
        self._latest = task.name
        yield from ()

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        names = [self._tasks.get(_key(example)) for example in examples]
        return [Route(name, 1.0) if name else Route(self._latest, 0.0) for name in names]

    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        names = [self._tasks.get(_key(example)) for example in examples]
        pairs = zip(names, tasks, strict=True)
        return [Route(name, 1.0) if name and name in own else Route(own[-1], 0.0) for name, own in pairs]

    def state(self) -> State:
        known = [[id, list(media), prompt, name] for (id, media, prompt), name in self._tasks.items()]
        return State(data={"latest": self._latest, "known": known})

    def routing_state(self) -> State:
        raise PlanError(
            "the router 'oracle' cannot be exported: it knows the task of each example of the data, and of no other",
            "Learn with another router (-o router prototype), or export the adapters alone: --format vllm.",
        )

    def restore(self, state: State) -> None:
        self._latest = state.data["latest"]
        self._tasks = {(id, tuple(media), prompt): name for id, media, prompt, name in state.data["known"]}


def _key(example: Example) -> _Key:
    return example.id, example.media_key, example.prompt
