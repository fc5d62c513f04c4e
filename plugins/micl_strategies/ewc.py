"""EWC (Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017).

After each task the diagonal of the Fisher information of the weights that moved is estimated;
later tasks pay lambda / 2 * sum_i F_i (theta_i - theta*_i)^2 (their eq. 3). The online form is
that of Schwarz et al., "Progress & Compress" (ICML 2018).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api import Backbone, Batch, State, Task
from micl_strategies.single import SingleAdapter


class EWC(SingleAdapter):
    """Hold each weight where it was, the harder the more the tasks before depended on it."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_ewc: Annotated[float, "weight of the penalty"] = 0.1,
        fisher_from: Annotated[
            Literal["sampled", "labels"],
            "answers drawn from the model's own distribution (Fisher information), or the labels (the empirical one)",
        ] = "sampled",
        fisher_examples: Annotated[
            int, "training examples of a task that its Fisher information is estimated on"
        ] = 100,
        form: Annotated[
            Literal["sum", "online"],
            "every task's penalty with its own anchor, or one decaying Fisher information and the latest anchor",
        ] = "sum",
        gamma: Annotated[float, "what an older Fisher information keeps with each task in the online form"] = 0.9,
        normalise: Annotated[
            Literal["group", "none"],
            "scale to mean 1 the Fisher information of LoRA and of each connector on its own, or leave it raw",
        ] = "group",
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.lambda_ewc, self.fisher_from, self.fisher_examples = lambda_ewc, fisher_from, fisher_examples
        self.form, self.gamma, self.normalise = form, gamma, normalise
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self.offset: dict[str, float] = {}

    # The penalty

    def loss(self, batch: Batch) -> Tensor:
        answers = super().loss(batch)
        if not self.fisher:
            return answers
        penalty = self.penalty()
        self.parts = {"answers": float(answers.detach()), "ewc": float(penalty.detach())}
        return answers + penalty

    def penalty(self) -> Tensor:
        """lambda / 2 * sum over tasks and weights of F (theta - theta*)^2, a scalar.

        A weight's quadratics of all tasks are kept as one: its curvature, its minimum, its value there.
        """
        terms = [
            (self.fisher[name] * (weight - self.anchor[name]) ** 2).sum() + self.offset.get(name, 0.0)
            for name, weight in self.trainable()
            if name in self.fisher
        ]
        return self.lambda_ewc / 2 * torch.stack(terms).sum()

    # After a task: the Fisher information

    def end(self, task: Task) -> None:
        found = self._normalised(self._estimate(task))
        weights = {name: weight.detach().clone() for name, weight in self.trainable()}
        for name, fisher in found.items():
            self._add(name, fisher, weights[name])
        super().end(task)

    def _estimate(self, task: Task) -> dict[str, Tensor]:
        """The mean over examples of the squared gradient of an answer's log-likelihood."""
        pool = list(task.examples("train"))
        examples = self.rng.sample(pool, min(self.fisher_examples, len(pool)))
        named = dict(self.trainable())
        found = {name: torch.zeros_like(weight) for name, weight in named.items()}
        draw = torch.Generator().manual_seed(self.rng.randrange(2**31))
        self.backbone.module.eval()
        for example in examples:
            logits, labels = self.backbone.answer_logits(self.backbone.batch([example]))
            if self.fisher_from == "sampled":
                chances = logits.detach().float().softmax(-1).cpu()
                labels = torch.multinomial(chances, 1, generator=draw)[:, 0].to(labels.device)
            likelihood = -F.cross_entropy(logits.float(), labels, reduction="sum")
            gradients = torch.autograd.grad(likelihood, list(named.values()), allow_unused=True)
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    found[name] += gradient.detach() ** 2 / len(examples)
        return found

    def _normalised(self, fisher: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each group's mean brought to 1: together, the group with small values would go free."""
        if self.normalise == "none":
            return fisher
        groups: dict[str, list[str]] = {}
        for name in fisher:
            groups.setdefault(self.backbone.part_of(name), []).append(name)
        scaled = {}
        for names in groups.values():
            total = sum(float(fisher[name].sum()) for name in names)
            mean = total / sum(fisher[name].numel() for name in names)
            scaled.update({name: fisher[name] / mean if mean else fisher[name] for name in names})
        return scaled

    def _add(self, name: str, fisher: Tensor, weight: Tensor) -> None:
        """Add the quadratic F (theta - weight)^2 to what is kept."""
        if name not in self.fisher:
            self.fisher[name], self.anchor[name] = fisher, weight
            return
        before, anchor = self.fisher[name], self.anchor[name]
        if self.form == "online":
            self.fisher[name], self.anchor[name] = self.gamma * before + fisher, weight
            return
        together = before + fisher
        share = torch.where(together > 0, fisher / together.clamp_min(1e-30), 0.0)
        self.fisher[name], self.anchor[name] = together, torch.lerp(anchor, weight, share)
        rest = float((before * share * (weight - anchor) ** 2).sum())
        self.offset[name] = self.offset.get(name, 0.0) + rest

    # For going on

    def state(self) -> State:
        fisher = {f"fisher/{name}": tensor for name, tensor in self.fisher.items()}
        anchor = {f"anchor/{name}": tensor for name, tensor in self.anchor.items()}
        return State({**fisher, **anchor}, {"offset": dict(self.offset), **super().state().data})

    def restore(self, state: State) -> None:
        super().restore(state)
        device = self.backbone.device
        tensors = {name: tensor.to(device) for name, tensor in state.tensors.items()}
        self.fisher = {n.removeprefix("fisher/"): t for n, t in tensors.items() if n.startswith("fisher/")}
        self.anchor = {n.removeprefix("anchor/"): t for n, t in tensors.items() if n.startswith("anchor/")}
        self.offset = dict(state.data.get("offset", {}))
