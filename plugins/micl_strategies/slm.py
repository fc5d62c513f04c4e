"""SLM (Peng et al., "Scalable Language Model with Generalized Continual Learning", ICLR 2024, arXiv 2404.07470).

Each task adds slots to a pool: a low-rank weight increment with a key in each of g groups of the query q, a frozen
feature vector of the example. Similarity s_i is the mean over groups of cos(q, key_i).

DTKR: before the weights of a task are learnt, its keys are trained to maximise the mean cosine of the ``top`` most
similar keys in each group, with a random share of keys left out so that all of them are trained; then they are frozen.
JARe: the model adds sum_i w_i B_i A_i over the ``top`` most similar slots, with w_i = s_i / sum_j s_j. While a task is
learnt they are chosen among its own slots, and only the cross entropy is minimised; to answer, they are chosen among
the slots of all tasks learnt so far, without the task of the example.

Deviations: slots are chosen for each example; the authors' code chooses them for a whole batch. A slot is LoRA of the
backbone's rank in all layers that it adapts (the paper: rank 8, on the attention output projection only). The query is
the backbone's feature vector as it is, medium and prompt (the paper: an embedding of the text), padded with zeros to
whole groups; a group's scale has no effect. Keys start orthogonal within each task, not within the whole pool, and are
trained for ``key_steps`` steps of 16 examples, whatever the size of the data, at a constant rate (the authors: 2 to 3
epochs at 1e-3, which falls after each). Similarities below 1e-6, also negative ones, are raised to it. The connectors,
which the paper does not have, belong to a task: its slots share one for each modality, weighted by the sum of their
weights. Only tasks that have all modalities of an example compete for it; if there is none, the base model answers. The
predicted task is the one with the largest sum of weights.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_cli.api import (
    BASE,
    AdapterSpec,
    Backbone,
    Batch,
    Example,
    Loss,
    Mixture,
    PlanError,
    Progress,
    Range,
    Route,
    Search,
    Stage,
    State,
    Strategy,
    tasks_with_modalities,
)

KEY_BATCH, KEY_WEIGHT_DECAY, KEY_GRAD_NORM = 16, 0.01, 0.1
FLOOR = 1e-6
"""Lower similarities are raised to this value."""


class SLM(Strategy):
    """Learn several low-rank increments for each task, weighted for each example by trained keys."""

    needs = frozenset({"adapters", "features"})
    routes_validation = True

    def __init__(
        self,
        backbone: Backbone,
        *,
        slots: Annotated[int, "low-rank increments for each task", Range(1)] = 4,
        top: Annotated[int, "slots that act on an example", Range(1), Search(choices=(1, 2, 4))] = 2,
        groups: Annotated[int, "parts of the query, each with keys of its own", Range(1)] = 6,
        masked: Annotated[
            float, "share of keys that are left out in each step of their training", Range(0, 1, high_open=True)
        ] = 0.25,
        key_steps: Annotated[int, "optimiser steps for the keys of each task", Range(0)] = 300,
        key_learning_rate: Annotated[float, "learning rate of the keys", Range(0, low_open=True)] = 1e-2,
        key_examples: Annotated[int, "training examples of each task for its keys, at most", Range(1)] = 2000,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.slots, self.top, self.groups, self.masked = slots, top, groups, masked
        self.key_steps, self.key_learning_rate, self.key_examples = key_steps, key_learning_rate, key_examples
        self.keys: dict[str, Tensor] = {}

    # The slots of a task

    def begin(self, stage: Stage) -> None:
        self._check_groups()
        adapters, spec = self.backbone.adapters, replace(self.backbone.default_spec(), connectors=False)
        for name in _slot_names(stage.position, self.slots):
            seed = random.Random(f"{stage.seed}/{name}").randrange(2**31)  # slots that start alike would stay alike
            adapters.add(name, spec, seed=seed)
        adapters.add(_connectors(stage.position), AdapterSpec("connectors"), seed=stage.seed)
        self._activate_equally()

    def _check_groups(self) -> None:
        for keys in self.keys.values():
            if keys.shape[1] != self.groups:
                raise PlanError(
                    f"slm cannot use {self.groups} groups here: the keys of earlier tasks have {keys.shape[1]}",
                    "Use the same number for all tasks: -o groups N without a task's number.",
                )

    def _activate_equally(self) -> None:
        """Activate the slots of the current task with equal weights, for examples without weights of their own."""
        names, position = _slot_names(self.stage.position, self.slots), self.stage.position
        self.backbone.adapters.activate({**dict.fromkeys(names, 1 / len(names)), _connectors(position): 1.0})

    # The keys

    def before(self, stage: Stage) -> Iterator[Progress]:
        (task,) = stage.tasks
        pool = list(task.examples("train"))
        examples = stage.rng.sample(pool, min(self.key_examples, len(pool)))
        queries = []
        for start in range(0, len(examples), stage.batch_size):
            with stage.autocast():
                queries.append(self.queries(examples[start : start + stage.batch_size]))
            yield Progress(min(start + stage.batch_size, len(examples)), len(examples), "features")
        self.keys[task.name] = yield from train_keys(
            torch.cat(queries),
            self.slots,
            top=self.top,
            masked=self.masked,
            steps=self.key_steps,
            learning_rate=self.key_learning_rate,
            seed=stage.rng.randrange(2**31),
        )

    def queries(self, examples: Sequence[Example]) -> Tensor:
        """Return [n, groups, d]: the features of examples, padded with zeros to equal groups."""
        features = self.backbone.features(examples).detach().float().cpu()
        padded = F.pad(features, (0, -features.shape[1] % self.groups))
        return padded.view(len(padded), self.groups, -1)

    # Learning with the slots of the task

    def loss(self, batch: Batch) -> Loss:
        (task,) = self.stage.tasks
        weights = retrieve(self.queries(batch.examples), self.keys[task.name], self.top)
        names = [*_slot_names(self.stage.position, self.slots), _connectors(self.stage.position)]
        # Active until `step_end`, since gradient checkpointing computes the layers again in the backward pass.
        self.backbone.adapters.activate(Mixture(names, F.pad(weights, (0, 1), value=1.0)))
        return self.backbone.loss(self.backbone.batch(batch.examples, batch.groups))

    def step_end(self, step: int) -> None:
        self._activate_equally()

    # Answering with the slots of all tasks

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.keys:
            return None
        modalities = {task.name: task.modalities for task in (*self.stage.previous_tasks, *self.stage.tasks)}
        learnt = {name: modalities[name] for name in self.keys}
        readable = [tasks_with_modalities(example, learnt) for example in examples]
        known = [index for index, tasks in enumerate(readable) if tasks]
        routes = [Route(BASE) for _ in examples]
        if known:
            weights = self._weights([examples[index] for index in known], [readable[index] for index in known])
            for index, row in zip(known, weights, strict=True):
                routes[index] = self._route(row)
        return routes

    def _weights(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Tensor:
        """Return [n, slots of all tasks]: the weights for each example of the slots of its own ``tasks``."""
        owners = [name for name, keys in self.keys.items() for _ in keys]
        allowed = torch.tensor([[owner in own for owner in owners] for own in tasks])
        return retrieve(self.queries(examples), torch.cat(list(self.keys.values())), self.top, allowed)

    def _route(self, weights: Tensor) -> Route:
        """Return the route of an example with the weights [slots of all tasks]."""
        shares = torch.split(weights, [len(keys) for keys in self.keys.values()])
        selection, totals = dict[str, float](), dict[str, float]()
        for position, (task, own) in enumerate(zip(self.keys, shares, strict=True), 1):
            totals[task] = float(own.sum())
            named = dict(zip(_slot_names(position, len(own)), own.tolist(), strict=True))
            named[_connectors(position)] = totals[task]
            selection |= {name: weight for name, weight in named.items() if weight}
        best, second, *_ = *sorted(totals.values(), reverse=True), 0.0
        return Route(max(totals, key=lambda task: totals[task]), min(1.0, best - second), selection)

    # Resuming

    def state(self) -> State:
        tensors = {f"keys/{position}": keys for position, keys in enumerate(self.keys.values(), 1)}
        return State(tensors, {"tasks": list(self.keys)})

    def restore(self, state: State) -> None:
        self.keys = {task: state.tensors[f"keys/{position}"] for position, task in enumerate(state.data["tasks"], 1)}


def retrieve(queries: Tensor, keys: Tensor, top: int, allowed: Tensor | None = None) -> Tensor:
    """Return [n, slots]: the weights of the ``top`` slots most similar to each query, which sum to 1; 0 for others.

    ``queries`` is [n, groups, d], ``keys`` [slots, groups, d]; ``allowed`` [n, slots] excludes slots for each query.
    """
    similarity = F.cosine_similarity(queries[:, None], keys[None], dim=-1).mean(-1)
    if allowed is not None:
        similarity = similarity.masked_fill(~allowed, -torch.inf)
    values, slots = similarity.topk(min(top, len(keys)), dim=1)
    values = values.clamp_min(FLOOR).masked_fill(values.isinf(), 0.0)
    return torch.zeros_like(similarity).scatter(1, slots, values / values.sum(1, keepdim=True))


def train_keys(
    queries: Tensor, slots: int, *, top: int, masked: float, steps: int, learning_rate: float, seed: int
) -> Generator[Progress, None, Tensor]:
    """Yield progress and return [slots, groups, d]: keys trained on ``queries`` [n, groups, d] (DTKR)."""
    generator = torch.Generator().manual_seed(seed)
    _, groups, size = queries.shape
    orthogonal = [nn.init.orthogonal_(torch.empty(slots, size), generator=generator) for _ in range(groups)]
    keys = nn.Parameter(torch.stack(orthogonal, dim=1))
    optimizer = torch.optim.AdamW([keys], lr=learning_rate, weight_decay=KEY_WEIGHT_DECAY)
    for step in range(1, steps + 1):
        drawn = queries[torch.randint(len(queries), (KEY_BATCH,), generator=generator)]
        similarity = F.cosine_similarity(drawn[:, None], keys[None], dim=-1)
        left_out = torch.rand(similarity.shape, generator=generator) < masked
        nearest = similarity.detach().masked_fill(left_out, -torch.inf).topk(min(top, slots), dim=1).indices
        optimizer.zero_grad()
        torch.autograd.backward(-similarity.gather(1, nearest).mean())
        nn.utils.clip_grad_norm_([keys], KEY_GRAD_NORM)
        optimizer.step()
        yield Progress(step, steps, "keys")
    return keys.detach()


def _slot_names(position: int, slots: int) -> list[str]:
    return [f"slot{position}-{number}" for number in range(1, slots + 1)]


def _connectors(position: int) -> str:
    """Return the name of the adapter with the connectors of a task."""
    return f"connectors{position}"
