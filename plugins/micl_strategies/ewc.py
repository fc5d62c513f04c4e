"""EWC (Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017).

After each task the diagonal of the Fisher information of the weights that moved is estimated;
later tasks pay lambda / 2 * sum_i F_i (theta_i - theta*_i)^2 (their eq. 3). The online form is
that of Schwarz et al., "Progress & Compress" (ICML 2018).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api import Backbone, Batch, Example, Loss, Progress, Range, Stage, State, Task
from micl_strategies.single import SingleAdapter


class EWC(SingleAdapter):
    """Hold each weight where it was, the harder the more the tasks before depended on it."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_ewc: Annotated[float, "weight of the penalty", Range(0)] = 0.1,
        fisher_from: Annotated[
            Literal["sampled", "labels"],
            "answers drawn from the model's own distribution (Fisher information), or the labels (the empirical one)",
        ] = "sampled",
        fisher_examples: Annotated[
            int, "training examples of a task that its Fisher information is estimated on", Range(1)
        ] = 100,
        form: Annotated[
            Literal["sum", "online"],
            "every task's penalty with its own anchor, or one decaying Fisher information and the latest anchor",
        ] = "sum",
        gamma: Annotated[
            float, "factor on the older Fisher information with each task, in the online form", Range(0, 1)
        ] = 0.9,
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

    def loss(self, batch: Batch) -> Loss:
        answers = self.backbone.loss(batch)
        return {"answers": answers, "ewc": self.penalty()} if self.fisher else answers

    def penalty(self) -> Tensor:
        """Return lambda / 2 * sum over tasks and weights of F (theta - theta*)^2, a scalar.

        A weight's quadratics of all tasks are stored as one: its curvature, its minimum, and its value there.
        """
        terms = [
            (self.fisher[name] * (weight - self.anchor[name]) ** 2).sum() + self.offset.get(name, 0.0)
            for name, weight in self.trainable()
            if name in self.fisher
        ]
        return self.lambda_ewc / 2 * torch.stack(terms).sum()

    # After a stage: the Fisher information

    def end(self, stage: Stage) -> None:
        """Leave rehearsal to ``after``: the Fisher information draws its examples first."""

    def after(self, stage: Stage) -> Iterator[Progress]:
        for task in stage.tasks:
            estimate = self._normalised((yield from self._estimate(task)))
            weights = {name: weight.detach().clone() for name, weight in self.trainable()}
            for name, fisher in estimate.items():
                self._add(name, fisher, weights[name])
        self.remember(stage)

    def _estimate(self, task: Task) -> Generator[Progress, None, dict[str, Tensor]]:
        """Return the mean over examples of the squared gradient of an answer's log-likelihood, by name."""
        rng, pool = self.stage.rng, list(task.examples("train"))
        examples = rng.sample(pool, min(self.fisher_examples, len(pool)))
        named = dict(self.trainable())
        fisher = {name: torch.zeros_like(weight) for name, weight in named.items()}
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        self.backbone.module.eval()
        for done, example in enumerate(examples, 1):
            likelihood = self._likelihood(example, generator)
            gradients = torch.autograd.grad(likelihood, list(named.values()), allow_unused=True)
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    fisher[name] += gradient.detach() ** 2 / len(examples)
            yield Progress(done, len(examples), "Fisher information")
        return fisher

    def _likelihood(self, example: Example, generator: torch.Generator) -> Tensor:
        """Return the log-likelihood of an example's answer, or of one that is drawn from the model."""
        logits, labels = self.backbone.answer_logits(self.backbone.batch([example]))
        if self.fisher_from == "sampled":
            probabilities = logits.detach().float().softmax(-1).cpu()
            labels = torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(labels.device)
        return -F.cross_entropy(logits.float(), labels, reduction="sum")

    def _normalised(self, fisher: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scale each group to mean 1: beside a group with large values, one with small values would not be held."""
        if self.normalise == "none":
            return fisher
        groups: dict[str, list[str]] = {}
        for name in fisher:
            groups.setdefault(self.backbone.adapters.group(name), []).append(name)
        scaled = {}
        for names in groups.values():
            total = sum(float(fisher[name].sum()) for name in names)
            mean = total / sum(fisher[name].numel() for name in names)
            scaled.update({name: fisher[name] / mean if mean else fisher[name] for name in names})
        return scaled

    def _add(self, name: str, fisher: Tensor, weight: Tensor) -> None:
        """Add the quadratic F (theta - weight)^2 to the stored one."""
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

    # To resume

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
