"""Packing: several sequences in one row, so that little is computed twice, or for padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WORTH_IT = 0.85
"""Where sequences fill more than this share of their padded rows, padding costs less than a mask."""


@dataclass(frozen=True)
class Packing:
    """Where B sequences of ``lengths`` lie in rows of ``width``: ``row`` and ``start``, each [B]."""

    lengths: Tensor
    row: Tensor
    start: Tensor
    rows: int
    width: int

    def to(self, device: torch.device) -> Packing:
        """The same on another device."""
        return Packing(self.lengths.to(device), self.row.to(device), self.start.to(device), self.rows, self.width)

    def places(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """(valid [B, length], row and column in the packed rows of each valid position)."""
        steps = torch.arange(length, device=self.lengths.device)
        valid = steps < self.lengths[:, None]
        row = self.row[:, None].expand(-1, length)[valid]
        column = (self.start[:, None] + steps)[valid]
        return valid, row, column

    def pack(self, padded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Padded [B, L, D] as packed [rows, width, D], position ids [rows, width], mask [rows, 1, width, width].

        Each position sees those before it in its own sequence.
        """
        valid, row, column = self.places(padded.shape[1])
        packed = padded.new_zeros(self.rows, self.width, padded.shape[2]).index_put((row, column), padded[valid])
        owner = self.lengths.new_full((self.rows, self.width), -1)
        owner[row, column] = torch.arange(len(self.lengths), device=row.device)[:, None].expand_as(valid)[valid]
        position = self.lengths.new_zeros(self.rows, self.width)
        position[row, column] = column - self.start[:, None].expand_as(valid)[valid]
        causal = torch.ones(self.width, self.width, dtype=torch.bool, device=row.device).tril()
        return packed, position, ((owner[:, :, None] == owner[:, None, :]) & causal)[:, None]

    def unpack(self, packed: Tensor, length: int) -> Tensor:
        """Packed [rows, width, D] as padded [B, length, D], zeros where there is padding."""
        valid, row, column = self.places(length)
        padded = packed.new_zeros(len(self.lengths), length, packed.shape[2])
        return padded.masked_scatter(valid[:, :, None], packed[row, column])


def plan_packing(lengths: Sequence[int]) -> Packing | None:
    """Sequences put together in rows of up to three times the longest; None where padding is as good.

    The longest first, each where it fits; of the row widths, the one with the fewest positions.
    """
    padded = max(lengths) * len(lengths)
    if sum(lengths) > WORTH_IT * padded:
        return None
    tried = [_first_fit(lengths, times * max(lengths)) for times in (1, 2, 3)]
    best = min(tried, key=lambda packing: packing.rows * packing.width)
    return best if best.rows * best.width <= WORTH_IT * padded else None


def _first_fit(lengths: Sequence[int], width: int) -> Packing:
    filled: list[int] = []
    row, start = [0] * len(lengths), [0] * len(lengths)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fit = next((r for r, used in enumerate(filled) if used + lengths[i] <= width), len(filled))
        if fit == len(filled):
            filled.append(0)
        row[i], start[i] = fit, filled[fit]
        filled[fit] += lengths[i]
    return Packing(torch.tensor(lengths), torch.tensor(row), torch.tensor(start), len(filled), max(filled))


@dataclass(frozen=True)
class Branches:
    """Rows of a prompt and several continuations behind it, none of which sees another.

    A continuation's last token is scored and never read, so that it has no column. ``position``
    [B, width] counts each continuation from the prompt's end; ``mask`` [B, 1, width, width] tells
    who sees whom; ``read`` [B, 1 + M] is the columns of the prompt's last token and of the M
    tokens read; ``before`` [N] tells, for each of the N continuation tokens, behind which of these
    it stands.
    """

    width: int
    position: Tensor
    mask: Tensor
    read: Tensor
    before: Tensor


def plan_branches(prompts: Sequence[int], ends: Sequence[int]) -> Branches:
    """Where the continuations, of ``ends`` tokens each (at least one), stand behind prompts of so many tokens."""
    total = sum(ends) - len(ends)
    width = max(prompts) + total
    lengths = torch.tensor(prompts)[:, None]
    column = torch.arange(width)
    # Whose each column is: 0 the prompt's, then the branches', at last padding's.
    branch = torch.tensor([k for k, length in enumerate(ends, 1) for _ in range(length - 1)] + [-1])
    place = torch.tensor([at for length in ends for at in range(length - 1)] + [0])
    behind = (column - lengths).clamp(0, total)
    owner = torch.where(column < lengths, 0, branch[behind])
    position = torch.where(owner == 0, column, torch.where(owner > 0, lengths + place[behind], 0))
    own = owner[:, :, None] == owner[:, None, :]
    shared = (owner[:, None, :] == 0) & (owner[:, :, None] > 0)
    mask = (own | shared) & torch.ones(width, width, dtype=torch.bool).tril()
    steps = [(at, k) for k, length in enumerate(ends) for at in range(length)]
    before = torch.tensor([0 if at == 0 else sum(ends[:k]) - k + at for at, k in steps])
    return Branches(width, position, mask[:, None], lengths - 1 + torch.arange(total + 1), before)
