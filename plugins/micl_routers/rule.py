"""A rule on modality and prompt: a baseline for routers, which shows how far the form of a query reveals its task.

A query goes to the task in whose training prompts its leading words are most frequent, among the tasks with training
examples of exactly its modalities. Up to ``words`` leading words are compared, as many as occur in a prompt of any of
these tasks. Of equal tasks, the one learnt first is chosen. No medium is read, and the model computes nothing.

Deviations: none, the rule has no paper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from micl_cli.api import Backbone, Example, Progress, Range, Route, Router, RouterContext, State, Task

Prompts = dict[str, Counter[str]]
"""The number of prompts with each sequence of leading words, by the modalities of their examples."""


class RuleRouter(Router):
    """Choose the task by modality and by the leading words of its training prompts."""

    def __init__(
        self, backbone: Backbone, *, words: Annotated[int, "leading words of a prompt that are compared", Range(1)] = 3
    ) -> None:
        super().__init__(backbone)
        self.words = words
        self._prompts: dict[str, Prompts] = {}

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        counts = self._prompts.setdefault(task.name, {})
        for example in examples:
            counts.setdefault(_modalities(example), Counter()).update(self._prefixes(example))
        yield Progress(len(examples), len(examples), "prompts")

    def _prefixes(self, example: Example) -> list[str]:
        """Return the leading words of a prompt, from none of them up to ``words``."""
        words = example.prompt.lower().split()[: self.words]
        return [" ".join(words[:count]) for count in range(len(words) + 1)]

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return self.route_among(examples, [list(self._prompts)] * len(examples))

    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        return [self._route(example, own) for example, own in zip(examples, tasks, strict=True)]

    def _route(self, example: Example, tasks: Sequence[str]) -> Route:
        shares = self._shares(example, [name for name in self._prompts if name in tasks])
        ordered = sorted(shares, key=lambda name: -shares[name])  # stable: equal ones stay in the order of learning
        total = sum(shares.values())
        first, second = (shares[name] / total if total else 0.0 for name in (ordered * 2)[:2])
        return Route(ordered[0], 1.0 if len(ordered) == 1 else first - second)

    def _shares(self, example: Example, tasks: Sequence[str]) -> dict[str, float]:
        """Return, for each task, the share of its prompts that begin with the longest known prefix of the query's."""
        modalities = _modalities(example)
        counts = {name: self._prompts[name].get(modalities, Counter()) for name in tasks}
        for prefix in reversed(self._prefixes(example)):
            if any(own[prefix] for own in counts.values()):
                return {name: own[prefix] / own[""] if own[""] else 0.0 for name, own in counts.items()}
        return dict.fromkeys(tasks, 0.0)

    def state(self) -> State:
        return State(data={"prompts": [[name, _as_json(counts)] for name, counts in self._prompts.items()]})

    def restore(self, state: State) -> None:
        self._prompts = {
            name: {modalities: Counter(own) for modalities, own in counts.items()}
            for name, counts in state.data["prompts"]
        }


def _modalities(example: Example) -> str:
    return "+".join(sorted(example.modalities))


def _as_json(counts: Prompts) -> dict[str, Any]:
    return {modalities: dict(own) for modalities, own in counts.items()}
