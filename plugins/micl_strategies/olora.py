"""O-LoRA (Wang et al., "Orthogonal Subspace Learning for Language Model Continual Learning",
Findings of EMNLP 2023, arXiv 2310.14152).

Each task learns its own low-rank matrices while those of earlier tasks stay frozen; the penalty
lambda * sum_i |A_i A_t^T| over earlier tasks i keeps the subspaces orthogonal. All tasks are answered by the sum of all
products B_i A_i, so the matrices share one adapter: task t owns the t-th block of A's rows and of B's columns.

Deviations: the penalty sums absolute values, as the authors' code does (their eq. 8 has squares). Their second penalty,
lambda_2 times the L2 norm of the new matrices, is left to AdamW's weight decay. By default the tasks divide
the adapter's rank among them. The paper gives each task rank 8: with ``rank 8``, or the recipe olora-paper, the adapter
grows to 8 ranks per task at the same scale alpha / r. Connectors, which the paper does not have, are neither frozen nor
penalised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from micl_cli.api import (
    ADAPTER,
    Adapters,
    Backbone,
    Batch,
    Loss,
    PartLoader,
    PlanError,
    Range,
    Search,
    Stage,
    State,
    Strategy,
    Task,
)


class OLoRA(Strategy):
    """Learn each task in its own block of LoRA ranks, kept orthogonal to the blocks of earlier tasks."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_orthogonal: Annotated[
            float,
            "weight of the orthogonality penalty between the new and the old subspaces",
            Range(0),
            Search(0.05, 5.0, log=True),
        ] = 0.5,
        rank: Annotated[
            int, "LoRA rank per task, to which the adapter grows (0: divide its own rank among the tasks)", Range(0)
        ] = 0,
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
        size = self._block_size or self.rank
        grow_rank(self.backbone.adapters, self._task_total * size, seed=stage.seed)
        self._block_size = self._checked_block_size()
        self._old = self._clone_weights()

    @property
    def _task_total(self) -> int:
        """The number of tasks that share the adapter."""
        return max(self.stage.position, self._task_count)

    def _checked_block_size(self) -> int:
        """Return the rank per task. Raises PlanError, before anything is learnt, if the adapter's rank is too small."""
        if self._block_size and self.rank not in (0, self._block_size):
            raise PlanError(
                f"olora cannot use rank {self.rank} here: each task so far has {self._block_size} LoRA ranks",
                "Use the same rank for all tasks: -o rank N without a task's number.",
            )
        tasks, total = self._task_total, self._adapter_rank()
        size = self._block_size or self.rank or total // tasks
        if not size or tasks * size > total:
            raise PlanError(
                f"olora has {total} LoRA ranks, too few for {tasks} tasks of rank {size or 1}",
                "Give each task ranks of its own: -o rank N; or raise the adapter's rank: -b lora_rank N.",
            )
        return size

    def _adapter_rank(self) -> int:
        """Return the smallest rank of the adapted layers. Raises PlanError if the adapter is not plain LoRA."""
        matrices = self.backbone.adapters.low_rank(ADAPTER)
        if not matrices or len(matrices) < len(self.backbone.adapters.layer_adapters(ADAPTER)):
            raise PlanError(
                "olora needs an adapter of plain LoRA matrices in every layer",
                "Choose such an adapter for the backbone, or another --strategy.",
            )
        return min(len(a) for a, _, _ in matrices.values())

    @property
    def block(self) -> slice:
        """The slice of ranks that belongs to this task."""
        return slice((self.stage.position - 1) * self._block_size, self.stage.position * self._block_size)

    def loss(self, batch: Batch) -> Loss:
        answers = self.backbone.loss(batch)
        if self.stage.position == 1 or not self.lambda_orthogonal:
            return answers
        block, matrices = self.block, self.backbone.adapters.low_rank(ADAPTER).values()
        overlaps = [(a[: block.start].detach() @ a[block].T).abs().sum() for a, _, _ in matrices]
        return {"answers": answers, "overlap": self.lambda_orthogonal * torch.stack(overlaps).sum()}

    def _blocks(self) -> Iterator[tuple[str, nn.Parameter, tuple[slice, ...]]]:
        """Yield the name and the weights of every A and B, and the index of this task's block in them."""
        for name, weight in self.backbone.adapters.parameters(ADAPTER).items():
            if name.endswith(".A"):
                yield name, weight, (self.block,)
            elif name.endswith(".B"):
                yield name, weight, (slice(None), self.block)

    def _clone_weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight, _ in self._blocks()}

    def constrain(self) -> None:
        """Zero the gradients of all ranks except this task's."""
        for _, weight, block in self._blocks():
            if weight.grad is not None:
                own = weight.grad[block].clone()
                weight.grad.zero_()
                weight.grad[block] = own

    @torch.no_grad()
    def step_end(self, step: int) -> None:
        """Restore the other tasks' ranks: weight decay changes weights that have no gradient, too."""
        for name, weight, block in self._blocks():
            own = weight[block].clone()
            weight.copy_(self._old[name])
            weight[block] = own

    def state(self) -> State:
        return State(data={"rank": self._block_size})

    def restore(self, state: State) -> None:
        self._block_size = state.data["rank"]
        self._old = self._clone_weights()


def grow_rank(adapters: Adapters, rank: int, *, seed: int) -> None:
    """Raise the rank of the adapter to ``rank``, unless it is that high, without changing what it computes.

    The new rows of A are random, the new columns of B are zero, and alpha / rank is kept. Adapters that are not plain
    LoRA of one rank in all layers are left as they are.
    """
    spec = adapters.spec(ADAPTER)
    own = {len(a) for a, _, _ in adapters.low_rank(ADAPTER).values()}
    if spec.kind != "lora" or len(own) != 1 or min(own) >= rank or spec.options.get("ranks"):
        return
    (former,), weights = own, adapters.state(ADAPTER)
    alpha = next(scale for _, _, scale in adapters.low_rank(ADAPTER).values()) * rank
    adapters.activate(None)
    adapters.remove(ADAPTER)
    adapters.add(ADAPTER, replace(spec, options={**spec.options, "rank": rank, "alpha": alpha}), seed=seed)
    adapters.load(ADAPTER, {**weights, **_extended(adapters.parameters(ADAPTER), weights, former)})
    adapters.activate(ADAPTER)


def _extended(new: Mapping[str, Tensor], old: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return the ``new`` matrices A and B with their first ``rank`` ranks taken from the ``old`` ones."""
    extended = {}
    for name, weight in new.items():
        if name.endswith(".A") and name.startswith("layers."):
            extended[name] = torch.cat([old[name], weight.detach().cpu()[rank:]])
        elif name.endswith(".B") and name.startswith("layers."):
            extended[name] = torch.cat([old[name], weight.detach().cpu()[:, rank:]], dim=1)
    return extended
