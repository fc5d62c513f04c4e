"""Sums over adapters: of their outputs at a layer, and of the outputs of their connectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from micl_cli.api.adapter_kinds import LayerAdapter
from micl_cli.api.selection import Mixture, TokenMap, needs_gradient

LowRank = tuple[Tensor, Tensor, float]
"""(A [r, inputs], B [outputs, r], scale) of a low-rank adapter."""


def layer_sum(
    mixture: Mixture, members: Mapping[str, LayerAdapter], x: Tensor, tokens: TokenMap | None
) -> Iterator[Tensor]:
    """Yield the weighted outputs of a mixture's adapters for the layer input ``x``.

    Low-rank adapters without dropout are computed together in two products. ``members`` holds the weights in this layer
    by the name of their adapter, for the adapters that have any.
    """
    columns = [column for column, name in enumerate(mixture.names) if name in members]
    present = [members[mixture.names[column]] for column in columns]
    low_rank = [matrices for member in present if (matrices := member.low_rank())]
    if len(present) > 1 and len(low_rank) == len(present) and not any(map(_has_dropout, present)):
        yield _low_rank_sum(mixture, columns, low_rank, x, tokens)
        return
    for column, member in zip(columns, present, strict=True):
        inputs = x.to(next(member.parameters()).dtype)
        output = member(inputs, tokens or TokenMap(x.new_zeros(len(x), 1, dtype=torch.long), 1))
        yield _weighted(mixture.weights[..., column].to(output), output, x, tokens)


def _has_dropout(member: LayerAdapter) -> bool:
    return any(isinstance(module, nn.Dropout) and module.p > 0 and module.training for module in member.modules())


def _weighted(weight: Tensor, output: Tensor, x: Tensor, tokens: TokenMap | None) -> Tensor:
    if weight.ndim:
        return output * _required(tokens).per_example(weight[:, None], x)
    return output if not weight.requires_grad and float(weight) == 1 else output * weight


def _low_rank_sum(
    mixture: Mixture, columns: Sequence[int], low_rank: Sequence[LowRank], x: Tensor, tokens: TokenMap | None
) -> Tensor:
    """Return the sum of w_i scale_i B_i A_i x, by one product with all A and one with all B.

    This does some superfluous arithmetic, but needs no loop over adapters: the ranks of adapters that do not apply to
    an example are multiplied by zero.
    """
    down, up = torch.cat([a for a, _, _ in low_rank]), torch.cat([b for _, b, _ in low_rank], dim=1)
    scales = torch.cat([down.new_full((len(a),), scale) for a, _, scale in low_rank])
    owner = [column for column, (a, _, _) in zip(columns, low_rank, strict=True) for _ in a]
    table = mixture.weights.to(down)[..., owner] * scales
    ranks = x.to(down.dtype) @ down.T
    return (ranks * (table if table.ndim == 1 else _required(tokens).per_example(table, x))) @ up.T


def _required(tokens: TokenMap | None) -> TokenMap:
    if tokens is None:
        raise RuntimeError("weights per example need the positions of the examples: call Adapters.locate first")
    return tokens


def weighted_outputs(terms: Sequence[tuple[nn.Module, Tensor]], tokens: Tensor, modality: str) -> Tensor:
    """Return [n, T, size]: the weighted sum of connectors' outputs for ``tokens`` [n, T, width].

    ``terms`` are connectors with their weights [n]. A connector reads only the media with a non-zero weight, or all
    media if gradients flow into the weights. Raises ValueError if a medium is read by no connector.
    """
    rows_read = [
        [i for i, weight in enumerate(weights.tolist()) if weight or needs_gradient(weights)] for _, weights in terms
    ]
    if {i for rows in rows_read for i in rows} != set(range(len(tokens))):
        raise ValueError(f"no active adapter has a connector for {modality}: activate one that has")
    total: Tensor | None = None
    for (connector, weights), rows in zip(terms, rows_read, strict=True):
        if rows:
            output = _scaled(connector(tokens if len(rows) == len(tokens) else tokens[rows]), weights[rows])
            output = _scattered(output, rows, len(tokens))
            total = output if total is None else total + output
    assert total is not None
    return total


def _scaled(output: Tensor, weights: Tensor) -> Tensor:
    if not weights.requires_grad and bool((weights == 1).all()):
        return output
    return output * weights.to(output)[:, None, None]


def _scattered(output: Tensor, rows: Sequence[int], count: int) -> Tensor:
    """Return ``output`` [n, T, size] at ``rows`` of a tensor [count, T, size] that is zero elsewhere."""
    if len(rows) == count:
        return output
    index = torch.tensor(list(rows), device=output.device)
    return output.new_zeros(count, *output.shape[1:]).index_copy(0, index, output)
