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

from micl_cli.api import (
    ADAPTER,
    Backbone,
    Batch,
    Loss,
    PartLoader,
    PlanError,
    Range,
    Stage,
    State,
    Strategy,
    Task,
)


class OLoRA(Strategy):
    """Learn each task in a block of LoRA ranks of its own, orthogonal to those before."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_orthogonal: Annotated[
            float, "weight of the overlap of the new subspace with the old ones", Range(0)
        ] = 0.5,
        rank: Annotated[int, "LoRA ranks of a task (0: the adapter's rank shared by all tasks)", Range(0)] = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.lambda_orthogonal, self.rank = lambda_orthogonal, rank
        self._task_count, self._block_size = 1, 0
        self._old: dict[str, Tensor] = {}

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        self._task_count = len(tasks)
        return super().stages(tasks, load_part)

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self._block_size = self._checked_block_size()
        self._old = self._copies()

    def _checked_block_size(self) -> int:
        """Return the ranks of a task. Raises PlanError, before the first is learnt, if they do not suffice for all."""
        if self._block_size and self.rank not in (0, self._block_size):
            raise PlanError(
                f"olora gave each task {self._block_size} LoRA ranks so far, and cannot give this one {self.rank}",
                "Give every task the same: -o rank N without a task's number.",
            )
        tasks, total = max(self.stage.position, self._task_count), self._adapter_rank()
        size = self._block_size or self.rank or total // tasks
        if not size or tasks * size > total:
            raise PlanError(
                f"olora has {total} LoRA ranks, too few for {tasks} tasks of {size or 1}",
                "Give the adapter more: -b lora_rank N, or each task fewer: -o rank N.",
            )
        return size

    def _adapter_rank(self) -> int:
        """Return the smallest rank of an adapted layer. Raises PlanError where the adapter is no plain LoRA."""
        matrices = self.backbone.adapters.low_rank(ADAPTER)
        if not matrices or len(matrices) < len(self.backbone.adapters.layer_adapters(ADAPTER)):
            raise PlanError(
                "olora needs adapters that are plain LoRA matrices in every layer",
                "Choose such an adapter for the backbone, or another --strategy.",
            )
        return min(len(a) for a, _, _ in matrices.values())

    @property
    def block(self) -> slice:
        """The ranks that belong to this task."""
        return slice((self.stage.position - 1) * self._block_size, self.stage.position * self._block_size)

    def loss(self, batch: Batch) -> Loss:
        answers = self.backbone.loss(batch)
        if self.stage.position == 1 or not self.lambda_orthogonal:
            return answers
        block, matrices = self.block, self.backbone.adapters.low_rank(ADAPTER).values()
        overlaps = [(a[: block.start].detach() @ a[block].T).abs().sum() for a, _, _ in matrices]
        return {"answers": answers, "overlap": self.lambda_orthogonal * torch.stack(overlaps).sum()}

    def _blocks(self) -> Iterator[tuple[str, nn.Parameter, tuple[slice, ...]]]:
        """Yield the name and weights of every A and B, and where this task's ranks are in them."""
        for name, weight in self.backbone.adapters.parameters(ADAPTER).items():
            if name.endswith(".A"):
                yield name, weight, (self.block,)
            elif name.endswith(".B"):
                yield name, weight, (slice(None), self.block)

    def _copies(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight, _ in self._blocks()}

    def constrain(self) -> None:
        """Leave gradients to this task's ranks only."""
        for _, weight, block in self._blocks():
            if weight.grad is not None:
                own = weight.grad[block].clone()
                weight.grad.zero_()
                weight.grad[block] = own

    @torch.no_grad()
    def step_end(self, step: int) -> None:
        """Put the other ranks back: weight decay moves weights without a gradient too."""
        for name, weight, block in self._blocks():
            own = weight[block].clone()
            weight.copy_(self._old[name])
            weight[block] = own

    def state(self) -> State:
        return State(data={"rank": self._block_size})

    def restore(self, state: State) -> None:
        self._block_size = state.data["rank"]
        self._old = self._copies()
