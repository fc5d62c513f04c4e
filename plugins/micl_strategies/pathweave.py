"""PathWeave (Yu et al., "LLMs Can Evolve Continually on Modality for X-Modal Reasoning", NeurIPS 2024, 2410.20178).

Each set of modalities has a path, an adapter of its own. The first path is a low-rank pair. Every later one holds a new
pair and the frozen pairs of all earlier paths, each with a trainable r x r matrix M_i in between (adapter-in-adapter):
W x + alpha / r (sum_i g_i(x) B_i M_i A_i x + g_new(x) B A x), g(x) = softmax(W_g x + eps softplus(W_n x)) for each
token, with W_g = W_n = 0 at first and the noise eps ~ N(0, 1) in training only. The modalities of an example choose its
path, so that learning a modality changes no answer about another.

Deviations: the paths are LoRA of the backbone's rank on the language model, with one connector for each modality that
is trained with the path; the paper's are adapters of rank 8 in the Q-Former of each modality and in the projection,
where they are summed. M_i starts as the identity; the authors' is a randomly initialised linear layer. A task of
several modalities has a path of its own. A second task with the modalities of an earlier one continues its path, and so
may overwrite it. Paths learnt afterwards use the pairs as they were when those paths began. An example is answered by
the path of exactly its modalities, else by the smallest path that has them all (of several, the earliest), else by the
base model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import torch

from micl_cli.api import BASE, FROZEN, Backbone, Batch, Example, Loss, PlanError, Route, Stage, State, Strategy


class PathWeave(Strategy):
    """Learn an adapter for each set of modalities, woven with the frozen adapters of earlier ones."""

    knows_task = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.paths: dict[frozenset[str], str] = {}

    def begin(self, stage: Stage) -> None:
        if stage.modalities not in self.paths:
            self.paths[stage.modalities] = self._add_path(stage.seed)
        self.backbone.adapters.activate(self.paths[stage.modalities])

    def _add_path(self, seed: int) -> str:
        """Add the adapter of a path, woven with those of all paths so far, and return its name."""
        spec, earlier = self.backbone.default_spec(), list(self.paths.values())
        if spec.kind != "lora":
            raise PlanError(
                f"pathweave needs an adapter of low-rank matrices, and that of this backbone is {spec.kind!r}",
                "Choose another --backbone or --strategy.",
            )
        name = f"path{len(earlier) + 1}"
        if earlier:
            spec = replace(spec, kind="woven", options={**spec.options, "earlier": len(earlier)})
        self.backbone.adapters.add(name, spec, seed=seed)
        self._copy_pairs(earlier, name)
        return name

    @torch.no_grad()
    def _copy_pairs(self, earlier: Sequence[str], path: str) -> None:
        """Copy the low-rank pairs of earlier paths to the frozen ones of ``path``."""
        adapters = self.backbone.adapters
        sources = [adapters.parameters(name) for name in earlier]
        for key, weight in adapters.parameters(path).items():
            if adapters.group(key) == FROZEN:
                layer, _, matrix = key.rpartition(".earlier_")
                weight.copy_(torch.stack([source[f"{layer}.{matrix}"] for source in sources]))

    def loss(self, batch: Batch) -> Loss:
        """Return the cross entropy, with noise that depends on the seed, the stage and the batch only."""
        drawn = random.Random("/".join([f"{self.stage.seed}/{self.stage.position}", *(e.id for e in batch.examples)]))
        device = self.backbone.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(drawn.randrange(2**63))
            return self.backbone.loss(batch)

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        return [self._route(example.modalities) for example in examples] if self.paths else None

    def _route(self, modalities: frozenset[str]) -> Route:
        readable = [own for own in self.paths if modalities <= own]
        if not readable:
            return Route(BASE)
        own = min(readable, key=len)
        return Route("+".join(sorted(own)) or "text", selection=self.paths[own])

    def state(self) -> State:
        return State(data={"paths": [[name, sorted(own)] for own, name in self.paths.items()]})

    def restore(self, state: State) -> None:
        self.paths = {frozenset(own): name for name, own in state.data["paths"]}
