"""A mixture of LoRA experts in each layer: W x + alpha / r sum_i g_i B_i A_i x.

As in MoELoRA (CoIN, Chen et al., arXiv 2403.08350), the E experts divide the rank r, so that each has rank r / E, and
the gate is softmax(G x) of each token's input to the layer. Variants: a gate on the mean over the prompt (SMoLoRA,
arXiv 2411.13949) or given by the selection; only the k largest gates; noise on the gate in training (Shazeer et al.,
arXiv 1701.06538, as in PathWeave, arXiv 2410.20178).

Deviations: A is initialised like peft's (Kaiming uniform); CoIN draws it from N(0, 0.01). The mean is taken over the
prompt only, so that no answer token sees a later one; the resulting gate applies to all tokens of the example.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_cli.api import AdapterKind, Layer, LayerAdapter, OptionError, Range, TokenMap

Gate = Literal["token", "mean", "given"]


class Experts(AdapterKind):
    """E LoRA experts in each layer, weighted by a gate."""

    def __init__(
        self,
        *,
        experts: Annotated[int, "number of experts E", Range(1)] = 4,
        rank: Annotated[int, "total rank of the experts", Range(1)] = 32,
        alpha: Annotated[float, "scale: the output is multiplied by alpha / rank", Range(0)] = 64.0,
        dropout: Annotated[float, "dropout on the experts' input", Range(0, 1, high_open=True)] = 0.0,
        gate: Annotated[Gate, "gate per token, on the mean over the prompt, or given by the selection"] = "token",
        top: Annotated[int, "number of experts per token, those with the largest gates (0: all)", Range(0)] = 0,
        noisy: Annotated[bool, "add learnt noise to the gate in training"] = False,
    ) -> None:
        if rank % experts:
            raise OptionError(f"{experts} experts cannot share rank {rank}", "Choose a rank divisible by the experts.")
        if top > experts:
            raise OptionError(f"top is {top}, but there are {experts} experts", "Choose fewer, or 0 for all.")
        if gate == "given" and (top or noisy):
            raise OptionError("top and noisy have no effect on a given gate", "Leave them out, or choose another gate.")
        self.experts, self.rank, self.alpha, self.dropout = experts, rank, alpha, dropout
        self.gate, self.top, self.noisy = gate, top, noisy

    def layer(self, layer: Layer) -> LayerAdapter | None:
        cls = {"token": TokenExperts, "mean": MeanExperts, "given": GivenExperts}[self.gate]
        return cls(layer, self)


class TokenExperts(LayerAdapter):
    """The experts of one layer, with a gate per token. ``A`` and ``B`` hold the experts' matrices, concatenated."""

    groups: ClassVar[Mapping[str, str]] = {"gate": "gate", "noise": "gate"}

    def __init__(self, layer: Layer, kind: Experts) -> None:
        super().__init__()
        self.kind, self.scale = kind, kind.alpha / kind.rank
        self.A = nn.Parameter(torch.empty(kind.rank, layer.inputs))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(layer.outputs, kind.rank))
        self.dropout = nn.Dropout(kind.dropout) if kind.dropout else nn.Identity()
        if kind.gate != "given":
            self.gate = nn.Parameter(torch.empty(kind.experts, layer.inputs))
            nn.init.kaiming_uniform_(self.gate, a=math.sqrt(5))
            if kind.noisy:
                self.noise = nn.Parameter(torch.zeros(kind.experts, layer.inputs))

    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        ranks = self.dropout(x) @ self.A.T
        gates = self.gates(x, tokens).to(ranks.dtype).repeat_interleave(self.kind.rank // self.kind.experts, dim=-1)
        added: Tensor = (ranks * gates) @ self.B.T * self.scale
        return added

    def gates(self, x: Tensor, tokens: TokenMap) -> Tensor:
        """Return the experts' weights for the vectors ``x`` [..., in]: [..., E], or a shape that broadcasts to it."""
        return self.gate_weights(x)

    def gate_weights(self, x: Tensor) -> Tensor:
        """Return [..., E]: the softmax over the chosen experts, zero for the others."""
        logits = x @ self.gate.T
        if self.kind.noisy and self.training:
            logits = logits + torch.randn_like(logits) * F.softplus(x @ self.noise.T)
        if 0 < self.kind.top < self.kind.experts:
            least = logits.topk(self.kind.top, dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -math.inf)
        return logits.softmax(-1)


class MeanExperts(TokenExperts):
    """The experts of one layer, with one gate per example, computed from the mean over its prompt."""

    mixes_tokens = True

    def gates(self, x: Tensor, tokens: TokenMap) -> Tensor:
        return tokens.per_example(self.gate_weights(tokens.prompt_mean(self, x)), x)


class GivenExperts(TokenExperts):
    """The experts of one layer, with the gates [B, E] of the active mixture; equal weights if it has none."""

    def gates(self, x: Tensor, tokens: TokenMap) -> Tensor:
        given = tokens.gates.get(self.adapter)
        if given is None:
            return x.new_full((self.kind.experts,), 1 / self.kind.experts)
        return tokens.per_example(given.to(x), x)
