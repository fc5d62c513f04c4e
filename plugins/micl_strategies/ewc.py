"""EWC (Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017).

After each task the diagonal F of the Fisher information of the trainable weights is estimated; later tasks add the
penalty lambda / 2 * sum_i F_i (theta_i - theta*_i)^2 to the loss (their eq. 3), theta* being the weights at the end of
the task. ``form online`` is the form of Schwarz et al., "Progress & Compress" (ICML 2018), with F <- gamma F + F_new
and the latest theta* alone.

Deviations: by default F is scaled to mean 1 within LoRA and within each connector (``normalise none``: raw values), so
that lambda_ewc is not comparable with other implementations. F is the mean over ``fisher_examples`` examples of the
squared gradient of a whole answer's log-likelihood; sampled answers are drawn token by token after the reference's
prefix, not after their own. In the online form the paper's further factor gamma on the latest F is left to lambda_ewc.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from micl_cli.api import Backbone, Batch, Example, Loss, Progress, Range, Search, Stage, State, Task
from micl_strategies.single_adapter import SingleAdapter


class EWC(SingleAdapter):
    """Penalise the change of each weight in proportion to its importance for earlier tasks."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        lambda_ewc: Annotated[float, "weight of the penalty", Range(0), Search(0.01, 10.0, log=True)] = 0.1,
        fisher_from: Annotated[
            Literal["sampled", "labels"],
            "answers sampled from the model (true Fisher information), or the labels (empirical Fisher information)",
        ] = "sampled",
        fisher_examples: Annotated[
            int, "training examples per task for estimating the Fisher information", Range(1)
        ] = 100,
        form: Annotated[
            Literal["sum", "online"],
            "one penalty per task around its own weights, or one decaying penalty around the latest weights",
        ] = "sum",
        gamma: Annotated[
            float, "decay of the accumulated Fisher information at each task, in the online form", Range(0, 1)
        ] = 0.9,
        normalise: Annotated[
            Literal["group", "none"],
            "scale the Fisher information of LoRA and of each connector to mean 1 separately, or leave it raw",
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

        The quadratic terms of all tasks are stored as one per weight: curvature, minimum, and value at the minimum.
        """
        terms = [
            (self.fisher[name] * (weight - self.anchor[name]) ** 2).sum() + self.offset.get(name, 0.0)
            for name, weight in self.trainable()
            if name in self.fisher
        ]
        return self.lambda_ewc / 2 * torch.stack(terms).sum()

    # After a stage: the Fisher information

    def end(self, stage: Stage) -> None:
        """Do nothing: ``after`` stores the rehearsal examples once the Fisher information has drawn its own."""

    def after(self, stage: Stage) -> Iterator[Progress]:
        for task in stage.tasks:
            estimate = self._normalised((yield from self._estimate_fisher(task)))
            weights = {name: weight.detach().clone() for name, weight in self.trainable()}
            for name, fisher in estimate.items():
                self._add_quadratic(name, fisher, weights[name])
        self.remember(stage)

    def _estimate_fisher(self, task: Task) -> Generator[Progress, None, dict[str, Tensor]]:
        """Return the mean over examples of the squared gradient of the answer's log-likelihood, by weight name."""
        rng, pool = self.stage.rng, list(task.examples("train"))
        examples = rng.sample(pool, min(self.fisher_examples, len(pool)))
        named = dict(self.trainable())
        fisher = {name: torch.zeros_like(weight) for name, weight in named.items()}
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        self.backbone.module.eval()
        for done, example in enumerate(examples, 1):
            log_likelihood = self._log_likelihood(example, generator)
            gradients = torch.autograd.grad(log_likelihood, list(named.values()), allow_unused=True)
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    fisher[name] += gradient.detach() ** 2 / len(examples)
            yield Progress(done, len(examples), "Fisher information")
        return fisher

    def _log_likelihood(self, example: Example, generator: torch.Generator) -> Tensor:
        """Return the log-likelihood of the example's answer, or of one sampled from the model."""
        logits, labels = self.backbone.answer_logits(self.backbone.batch([example]))
        if self.fisher_from == "sampled":
            probabilities = logits.detach().float().softmax(-1).cpu()
            labels = torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(labels.device)
        return -F.cross_entropy(logits.float(), labels, reduction="sum")

    def _normalised(self, fisher: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scale each group to mean 1: otherwise a group with small values would be penalised too little."""
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

    def _add_quadratic(self, name: str, fisher: Tensor, weight: Tensor) -> None:
        """Add the quadratic F (theta - weight)^2 to the stored one."""
        if name not in self.fisher:
            self.fisher[name], self.anchor[name] = fisher, weight
            return
        old, anchor = self.fisher[name], self.anchor[name]
        if self.form == "online":
            self.fisher[name], self.anchor[name] = self.gamma * old + fisher, weight
            return
        total = old + fisher
        share = torch.where(total > 0, fisher / total.clamp_min(1e-30), 0.0)
        self.fisher[name], self.anchor[name] = total, torch.lerp(anchor, weight, share)
        minimum = float((old * share * (weight - anchor) ** 2).sum())
        self.offset[name] = self.offset.get(name, 0.0) + minimum

    # Resuming

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
