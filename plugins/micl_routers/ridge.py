"""Ridge regression from frozen features to tasks, in closed form and exactly updatable, as in analytic continual
learning (Zhuang et al., "ACIL", NeurIPS 2022) and in CF-Router (Li et al., ICLR 2026 workshop, openreview 7tWtYHTIDD).

W = (G + lambda g I)^-1 C with G = sum_t X_t^T X_t / n_t, C = [mean of X_t, one column per task t], g the mean of G's
diagonal, and X_t [n_t, D + 1] the features of task t with a constant 1. A query goes to the largest entry of x^T W.

Deviations: no random expansion of the features (ACIL); the sums G and C are stored and solved, instead of a recursively
updated inverse, which is the same solution. Dividing by n_t gives tasks equal weight whatever their size, and g makes
lambda independent of the features' scale. Features are the backbone's (CF-Router: mean-pooled last hidden states).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, Progress, Range, Route, Router, RouterContext, State, Task
from micl_routers.frozen import among, feature_pass, features, routes


class RidgeRouter(Router):
    """Choose the task by ridge regression on frozen features.

    Its sums G [D + 1, D + 1] and C [D + 1, tasks] grow task by task to the values of joint learning; no example is
    stored.
    """

    needs = frozenset({"features"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        ridge: Annotated[
            float, "regularisation lambda, relative to the features' mean square", Range(0, low_open=True)
        ] = 1e-3,
    ) -> None:
        super().__init__(backbone)
        self.ridge = ridge
        self._names: list[str] = []
        self._gram = torch.zeros(0, 0, dtype=torch.float64)
        self._cross = torch.zeros(0, 0, dtype=torch.float64)

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        x = _with_one((yield from feature_pass(self.backbone, examples)))
        gram, cross = x.T @ x / len(x), x.mean(0)[:, None]
        if task.name in self._names:
            self._gram = self._gram + gram
            self._cross[:, self._names.index(task.name)] += cross[:, 0]
            return
        self._gram = self._gram + gram if self._names else gram
        self._cross = torch.cat([self._cross, cross], 1) if self._names else cross
        self._names.append(task.name)

    @property
    def weights(self) -> Tensor:
        """The regression weights W [D + 1, tasks]; the last row is the intercept."""
        scale = self._gram.diagonal().mean().clamp_min(1e-12)
        penalty = self.ridge * scale * torch.eye(len(self._gram), dtype=torch.float64)
        solved: Tensor = torch.linalg.solve(self._gram + penalty, self._cross)
        return solved

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return self.route_among(examples, [self._names] * len(examples))

    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        values = _with_one(features(self.backbone, examples)) @ self.weights
        return routes(self._names, among(self._names, tasks, values))

    def state(self) -> State:
        return State({"gram": self._gram, "cross": self._cross}, {"names": self._names})

    def restore(self, state: State) -> None:
        self._gram, self._cross = state.tensors["gram"], state.tensors["cross"].clone()
        self._names = list(state.data["names"])


def _with_one(x: Tensor) -> Tensor:
    """Append a constant 1 to each row of features [n, D]."""
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
