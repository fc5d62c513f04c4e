"""Ridge regression on frozen features, in closed form and exactly updatable (as analytic continual
learning: Zhuang et al., "ACIL", NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, Progress, Range, Route, Router, RouterContext, State, Task
from micl_routers.frozen import feature_pass, features, routes


class RidgeRouter(Router):
    """W = (X^T X + lambda n I)^-1 X^T Y over all examples of all tasks, one column of Y a task.

    X^T X [D + 1, D + 1] and X^T Y [D + 1, tasks] are sums over examples: they grow task by task to
    what they would be at once, and no example is stored. Each task weighs the same, whatever its size.
    """

    needs = frozenset({"features"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        ridge: Annotated[float, "lambda, for features of mean square 1", Range(0, low_open=True)] = 1e-3,
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
        """[D + 1, tasks], solved in the features' own units; the last row is the intercept."""
        scale = self._gram.diagonal().mean().clamp_min(1e-12)
        penalty = self.ridge * scale * torch.eye(len(self._gram), dtype=torch.float64)
        solved: Tensor = torch.linalg.solve(self._gram + penalty, self._cross)
        return solved

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return routes(self._names, _with_one(features(self.backbone, examples)) @ self.weights)

    def state(self) -> State:
        return State({"gram": self._gram, "cross": self._cross}, {"names": self._names})

    def restore(self, state: State) -> None:
        self._gram, self._cross = state.tensors["gram"], state.tensors["cross"].clone()
        self._names = list(state.data["names"])


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
