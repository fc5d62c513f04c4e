"""O-LoRA (Wang et al., "Orthogonal Subspace Learning for Language Model Continual Learning",
Findings of EMNLP 2023, arXiv 2310.14152).

Each task learns low-rank matrices of its own beside the frozen ones of the tasks before, and pays
lambda * sum of |A_before A_new^T| (their eq. 8), so that the subspaces stay orthogonal. The
sum of all tasks' products B_t A_t answers, so their rows can stand in one adapter: task t owns the
t-th block of A's rows and of B's columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from micl_cli.api import ADAPTER, Backbone, Batch, PlanError, State, Strategy, Task


class OLoRA(Strategy):
    """Learn each task in a block of LoRA ranks of its own, orthogonal to those before."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_orthogonal: Annotated[float, "weight of the overlap of the new subspace with the old ones"] = 0.5,
        rank: Annotated[int, "LoRA ranks of a task (0: the adapter's rank shared by all tasks of the run)"] = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.lambda_orthogonal, self.rank = lambda_orthogonal, rank
        self._tasks, self._size = 1, 0
        self._old: dict[str, Tensor] = {}

    def stages(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        self._tasks = len(tasks)
        return super().stages(tasks)

    def begin(self, task: Task) -> None:
        super().begin(task)
        self._size = self._room()
        self._hold()

    def _room(self) -> int:
        """The ranks of a task; that they do not suffice for all is told before the first is learnt."""
        if self._size and self.rank not in (0, self._size):
            raise PlanError(
                f"olora gave each task {self._size} LoRA ranks so far, and cannot give this one {self.rank}",
                "Give every task the same: -o rank N without a task's number.",
            )
        tasks, total = max(self.position, self._tasks), self._total()
        size = self._size or self.rank or total // tasks
        if not size or tasks * size > total:
            raise PlanError(
                f"olora has {total} LoRA ranks, too few for {tasks} tasks of {size or 1}",
                "Give the adapter more: -b lora_rank N, or each task fewer: -o rank N.",
            )
        return size

    def _total(self) -> int:
        return min(a.shape[0] for a, _ in self._pairs())

    @property
    def block(self) -> slice:
        """The ranks that belong to this task."""
        return slice((self.position - 1) * self._size, self.position * self._size)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """(A [r, in], B [out, r]) of each adapted layer."""
        weights = self.backbone.adapter_weights(ADAPTER)
        return [(weights[a], weights[b]) for a, b in self.backbone.low_rank_pairs(ADAPTER)]

    def _hold(self) -> None:
        self._old = {
            name: weight.detach().clone()
            for pair in self.backbone.low_rank_pairs(ADAPTER)
            for name, weight in ((n, self.backbone.adapter_weights(ADAPTER)[n]) for n in pair)
        }

    def loss(self, batch: Batch) -> Tensor:
        answers = super().loss(batch)
        if self.position == 1 or not self.lambda_orthogonal:
            return answers
        block = self.block
        overlaps = [(a[: block.start].detach() @ a[block].T).abs().sum() for a, _ in self._pairs()]
        overlap = self.lambda_orthogonal * torch.stack(overlaps).sum()
        self.parts = {"answers": float(answers.detach()), "overlap": float(overlap.detach())}
        return answers + overlap

    def _owned(self) -> Iterator[tuple[str, nn.Parameter, tuple[slice, ...]]]:
        """Name and weights of every A and B, and the part of them that is this task's."""
        block, weights = self.block, self.backbone.adapter_weights(ADAPTER)
        for a, b in self.backbone.low_rank_pairs(ADAPTER):
            yield a, weights[a], (block,)
            yield b, weights[b], (slice(None), block)

    def constrain(self) -> None:
        """Only this task's ranks are taught."""
        for _, weight, mine in self._owned():
            if weight.grad is not None:
                taught = weight.grad[mine].clone()
                weight.grad.zero_()
                weight.grad[mine] = taught

    @torch.no_grad()
    def step_end(self, step: int) -> None:
        """Weight decay moves what has no gradient too: put the other ranks back."""
        for name, weight, mine in self._owned():
            taught = weight[mine].clone()
            weight.copy_(self._old[name])
            weight[mine] = taught

    def state(self) -> State:
        return State(data={"rank": self._size})

    def restore(self, state: State) -> None:
        self._size = state.data["rank"]
        self._hold()
