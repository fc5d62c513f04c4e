"""Sums over adapters: of what they add to a layer, and of what their connectors put out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from micl_cli.api.adapter_kinds import LayerAdapter
from micl_cli.api.selection import Mixture, TokenMap, needs_gradient

Matrices = tuple[Tensor, Tensor, float]
"""(A [r, inputs], B [outputs, r], scale) of a low-rank adapter."""


def layer_sum(
    mixture: Mixture, members: Mapping[str, LayerAdapter], x: Tensor, tokens: TokenMap | None
) -> Iterator[Tensor]:
    """Yield what the adapters of a mixture add to a layer that reads ``x``; low-rank ones together in two products.

    ``members`` holds what each adapter has in this layer, where it has anything.
    """
    columns = [column for column, name in enumerate(mixture.names) if name in members]
    present = [members[mixture.names[column]] for column in columns]
    matrices = [found for member in present if (found := member.low_rank())]
    if len(present) > 1 and len(matrices) == len(present) and not any(map(_drops_out, present)):
        yield _stacked(mixture, columns, matrices, x, tokens)
        return
    for column, member in zip(columns, present, strict=True):
        own = x.to(next(member.parameters()).dtype)
        added = member(own, tokens or TokenMap(x.new_zeros(len(x), 1, dtype=torch.long), 1))
        yield _weighted(mixture.weights[..., column].to(added), added, x, tokens)


def _drops_out(member: LayerAdapter) -> bool:
    return any(isinstance(part, nn.Dropout) and part.p > 0 and part.training for part in member.modules())


def _weighted(weight: Tensor, added: Tensor, x: Tensor, tokens: TokenMap | None) -> Tensor:
    if weight.ndim:
        return added * _known(tokens).per_example(weight[:, None], x)
    return added if not weight.requires_grad and float(weight) == 1 else added * weight


def _stacked(
    mixture: Mixture, columns: Sequence[int], matrices: Sequence[Matrices], x: Tensor, tokens: TokenMap | None
) -> Tensor:
    """Return the sum of w_i scale_i B_i A_i x: one product with all A, one with all B.

    That costs some arithmetic, and no loop over adapters: the ranks of those that an example leaves out are zeroed.
    """
    down, up = torch.cat([a for a, _, _ in matrices]), torch.cat([b for _, b, _ in matrices], dim=1)
    scales = torch.cat([down.new_full((len(a),), scale) for a, _, scale in matrices])
    owner = [column for column, (a, _, _) in zip(columns, matrices, strict=True) for _ in a]
    table = mixture.weights.to(down)[..., owner] * scales
    ranks = x.to(down.dtype) @ down.T
    return (ranks * (table if table.ndim == 1 else _known(tokens).per_example(table, x))) @ up.T


def _known(tokens: TokenMap | None) -> TokenMap:
    if tokens is None:
        raise RuntimeError("weights per example need to know where examples stand: call Adapters.locate first")
    return tokens


def weighted_outputs(terms: Sequence[tuple[nn.Module, Tensor]], tokens: Tensor, modality: str) -> Tensor:
    """Return [n, T, size]: the weighted sum of connectors' outputs for ``tokens`` [n, T, width].

    ``terms`` are connectors with their weights [n]. A connector reads only the media that it has a weight for, and all
    where gradients flow into the weights. Raises ValueError where no connector reads a medium.
    """
    reading = [
        [i for i, weight in enumerate(weights.tolist()) if weight or needs_gradient(weights)] for _, weights in terms
    ]
    if {i for rows in reading for i in rows} != set(range(len(tokens))):
        raise ValueError(f"no adapter that acts has a connector for {modality}: activate one that has")
    found: Tensor | None = None
    for (connector, weights), rows in zip(terms, reading, strict=True):
        if rows:
            part = _scaled(connector(tokens if len(rows) == len(tokens) else tokens[rows]), weights[rows])
            found = _placed(part, rows, len(tokens)) if found is None else found + _placed(part, rows, len(tokens))
    assert found is not None
    return found


def _scaled(output: Tensor, weights: Tensor) -> Tensor:
    if not weights.requires_grad and bool((weights == 1).all()):
        return output
    return output * weights.to(output)[:, None, None]


def _placed(part: Tensor, rows: Sequence[int], count: int) -> Tensor:
    """Return ``part`` [n, T, size] at its rows of [count, T, size], zero elsewhere."""
    if len(rows) == count:
        return part
    index = torch.tensor(list(rows), device=part.device)
    return part.new_zeros(count, *part.shape[1:]).index_copy(0, index, part)
