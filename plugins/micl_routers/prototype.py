"""Nearest class mean (Mensink et al., "Distance-Based Image Classification", TPAMI 2013), a class being a task.

p(task | x) is proportional to exp(-||x - mean_task||^2 / 2), their eq. of NCM with the metric below.

Deviations: the paper learns a full low-rank metric; here it is diagonal and computed, not learnt: each feature is
divided by its pooled standard deviation within tasks. All tasks have the same prior.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, Progress, Route, Router, RouterContext, State, Task
from micl_routers.frozen import among, feature_pass, features, routes

FLOOR = 1e-6


class PrototypeRouter(Router):
    """Choose the task with the nearest mean feature.

    Each feature is scaled by its standard deviation within tasks, so that neither the media nor the prompt dominate the
    distance. Probabilities are those of normal distributions around the means with that deviation. Only means and sums
    of squares are stored.
    """

    needs = frozenset({"features"})

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self._means: dict[str, Tensor] = {}
        self._within = torch.zeros(0)
        self._count = 0

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        x = yield from feature_pass(self.backbone, examples)
        mean = x.mean(0)
        squares = ((x - mean) ** 2).sum(0)
        self._within = self._within + squares if len(self._within) else squares
        self._count += len(x)
        self._means[task.name] = mean

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return self.route_among(examples, [list(self._means)] * len(examples))

    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        names = list(self._means)
        variance = self._within / self._count
        scale = (variance + max(float(variance.mean()) * 1e-3, FLOOR)).sqrt()
        distances = torch.cdist(
            features(self.backbone, examples) / scale,
            torch.stack(list(self._means.values())) / scale,
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        return routes(names, torch.softmax(among(names, tasks, -(distances**2) / 2), dim=1))

    def state(self) -> State:
        tensors = {f"mean/{index}": mean for index, mean in enumerate(self._means.values())}
        return State({**tensors, "within": self._within}, {"names": list(self._means), "count": self._count})

    def restore(self, state: State) -> None:
        self._means = {name: state.tensors[f"mean/{index}"] for index, name in enumerate(state.data["names"])}
        self._within, self._count = state.tensors["within"], state.data["count"]
